using System.Globalization;
using CooperativeLinux.Devices.Block.Storage;

namespace CooperativeLinux.Configuration;

/// <summary>Reads sizes of disks as people write them: <c>512M</c>, <c>8G</c>, or a plain number of MiB.</summary>
public static class DiskSize
{
    private const long Mebibyte = 1L << 20;

    /// <summary>Reads a size: a whole number followed by K, M, G or T (powers of 1024; iB or B may follow), or MiB without one.</summary>
    /// <param name="text">The text.</param>
    /// <param name="bytes">The size in bytes, a multiple of 1 MiB.</param>
    /// <param name="error">Why the text is no usable size, as the end of a sentence.</param>
    /// <returns>True if it is one.</returns>
    public static bool TryParse(string? text, out long bytes, out string error)
    {
        bytes = 0;
        error = "a size is a number with M, G or T, such as 512M or 8G";
        ReadOnlySpan<char> rest = text.AsSpan().Trim();
        int digits = rest.IndexOfAnyExceptInRange('0', '9');
        ReadOnlySpan<char> number = digits < 0 ? rest : rest[..digits];
        ReadOnlySpan<char> unit = digits < 0 ? "M" : rest[digits..].TrimStart();
        if (number.Length == 0 || MemorySize.UnitShift(unit) is not int shift)
        {
            return false;
        }

        if (!long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long value) || value > Disk.MaxLength >> shift)
        {
            error = $"the most is {Disk.MaxLength >> 40}T";
            return false;
        }

        bytes = value << shift;
        error = bytes < Mebibyte || bytes % Mebibyte != 0 ? "it must be a whole number of MiB, at least 1M" : "";
        return error.Length == 0;
    }
}
