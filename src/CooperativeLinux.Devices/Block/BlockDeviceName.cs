namespace CooperativeLinux.Devices.Block;

/// <summary>Names of disks in the guest, <c>xvda</c> to <c>xvdzz</c>, and the numbers that stand for them
/// (linux: drivers/block/xen-blkfront.c; xen: docs/man/xen-vbd-interface.7.pandoc).</summary>
public static class BlockDeviceName
{
    /// <summary>Disks that have names.</summary>
    public const int Count = Letters + (Letters * Letters);

    private const string Prefix = "xvd";
    private const int Letters = 26;
    private const int XvdMajor = 202;
    private const int MajorShift = 8, ShortShift = 4, ExtendedShift = 8;
    private const int ShortCount = 16;
    private const int Extended = 1 << 28;

    /// <summary>The name of a disk.</summary>
    /// <param name="index">From 0, below <see cref="Count"/>.</param>
    public static string Of(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        return index < Letters
            ? $"{Prefix}{(char)('a' + index)}"
            : $"{Prefix}{(char)('a' + (index / Letters) - 1)}{(char)('a' + (index % Letters))}";
    }

    /// <summary>The disk of a name.</summary>
    /// <param name="name">The name.</param>
    /// <param name="index">Its number from 0.</param>
    /// <returns>Whether it is one.</returns>
    public static bool TryParse(string? name, out int index)
    {
        index = 0;
        ReadOnlySpan<char> letters = name.AsSpan();
        if (!letters.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return false;
        }

        letters = letters[Prefix.Length..];
        if (letters.Length is not (1 or 2) || letters.ContainsAnyExceptInRange('a', 'z'))
        {
            return false;
        }

        index = letters.Length == 1 ? letters[0] - 'a' : ((letters[0] - 'a' + 1) * Letters) + letters[1] - 'a';
        return true;
    }

    /// <summary>The number the frontend knows the disk by (<c>virtual-device</c>).</summary>
    public static int DeviceNumber(int index) =>
        index < ShortCount ? (XvdMajor << MajorShift) | (index << ShortShift) : Extended | (index << ExtendedShift);
}
