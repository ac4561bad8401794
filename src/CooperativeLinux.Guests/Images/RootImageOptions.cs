namespace CooperativeLinux.Guests.Images;

/// <summary>What a guest made of Debian packages shall hold.</summary>
public sealed record RootImageOptions
{
    /// <summary>The packages by name; what they depend on comes with them, what they recommend does not.</summary>
    public required IReadOnlyList<string> Packages { get; init; }

    /// <summary>Whether all packages that Debian marks as essential are put in, or only a shell and the basic tools.</summary>
    public bool IncludesEssential { get; init; }

    /// <summary>Whether the image is compressed (gzip). It takes less room on the host and longer to start.</summary>
    public bool IsCompressed { get; init; }
}
