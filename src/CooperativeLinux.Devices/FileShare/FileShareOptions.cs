namespace CooperativeLinux.Devices.FileShare;

/// <summary>A folder to share with the guest.</summary>
/// <param name="Folder">The host's folder.</param>
/// <param name="Tag">What the guest mounts it by.</param>
public sealed record FileShareOptions(string Folder, string Tag)
{
    /// <summary>Longest tag, in bytes.</summary>
    public const int MaxTagLength = 31;

    /// <summary>Whether the guest may change nothing.</summary>
    public bool IsReadOnly { get; init; }

    /// <summary>Whose the files seem to be.</summary>
    public OwnerPolicy Owner { get; init; }
}

/// <summary>What user and group numbers mean between host and guest.</summary>
public enum OwnerPolicy
{
    /// <summary>The host's user is the guest's root; other owners that the guest sets are noted beside the file.</summary>
    Map,

    /// <summary>The same numbers on both sides.</summary>
    Keep,
}
