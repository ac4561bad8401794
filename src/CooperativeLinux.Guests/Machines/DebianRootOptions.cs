namespace CooperativeLinux.Guests.Machines;

/// <summary>What a Debian root is to be.</summary>
public sealed record DebianRootOptions
{
    /// <summary>Releases that are known to work.</summary>
    public static IReadOnlyList<string> Releases { get; } = ["bookworm", "trixie"];

    /// <summary>The guest's host name.</summary>
    public required string HostName { get; init; }

    /// <summary>The release's code name.</summary>
    public string Release { get; init; } = "bookworm";

    /// <summary>Packages to install besides the basic ones; a kernel among them (<c>linux-image-...</c>) takes the place of the usual one.</summary>
    public IReadOnlyList<string> Packages { get; init; } = [];

    /// <summary>The archive, or null for the machine's apt sources.</summary>
    public string? Mirror { get; init; }
}
