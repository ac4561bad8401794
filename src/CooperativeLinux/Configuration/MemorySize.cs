using System.Globalization;
using CooperativeLinux.Monitor.Domain;

namespace CooperativeLinux.Configuration;

/// <summary>Reads and writes sizes of memory as people write them: <c>256M</c>, <c>2G</c>, or a plain number of MiB.</summary>
public static class MemorySize
{
    private const long Mebibyte = 1L << 20;

    /// <summary>The least memory a machine can have, in bytes: stock kernels do not boot with less.</summary>
    public const long Minimum = 128 * Mebibyte;

    /// <summary>The most memory a machine can have, in bytes: what the domain builder can lay out.</summary>
    public const long Maximum = (long)DomainBuilder.MaximumMemory;

    /// <summary>What a machine has if nothing else is said, in bytes.</summary>
    public const long Default = 512 * Mebibyte;

    /// <summary>Reads a size: a whole number followed by K, M, G or T (powers of 1024; iB or B may follow), or MiB without one.</summary>
    /// <param name="text">The text.</param>
    /// <param name="bytes">The size in bytes, a multiple of 1 MiB.</param>
    /// <param name="error">Why the text is no usable size, as the end of a sentence.</param>
    /// <returns>True if it is one.</returns>
    public static bool TryParse(string? text, out long bytes, out string error)
    {
        bytes = 0;
        error = "a size is a number with M or G, such as 512M or 2G";
        ReadOnlySpan<char> rest = text.AsSpan().Trim();
        int digits = rest.IndexOfAnyExceptInRange('0', '9');
        ReadOnlySpan<char> number = digits < 0 ? rest : rest[..digits];
        ReadOnlySpan<char> unit = digits < 0 ? "M" : rest[digits..].TrimStart();
        if (number.Length == 0 || UnitShift(unit) is not int shift)
        {
            return false;
        }

        if (!long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long value) || value > long.MaxValue >> shift)
        {
            error = $"the most is {Format(Maximum)}";
            return false;
        }

        bytes = value << shift;
        error = bytes < Minimum ? $"the least is {Format(Minimum)}"
            : bytes > Maximum ? $"the most is {Format(Maximum)}"
            : bytes % Mebibyte != 0 ? "it must be a whole number of MiB"
            : "";
        return error.Length == 0;
    }

    /// <summary>Writes a size in the largest unit that needs no fraction.</summary>
    public static string Format(long bytes)
    {
        return bytes switch
        {
            > 0 when bytes % (1L << 30) == 0 => $"{bytes >> 30}G",
            > 0 when bytes % Mebibyte == 0 => $"{bytes >> 20}M",
            _ => $"{bytes} bytes",
        };
    }

    /// <summary>The power of two a unit stands for, or null.</summary>
    internal static int? UnitShift(ReadOnlySpan<char> unit)
    {
        if (unit.Length is 0 or > 3)
        {
            return null;
        }

        ReadOnlySpan<char> ending = unit[1..];
        if (ending.Length > 0 && !ending.Equals("B", StringComparison.OrdinalIgnoreCase) && !ending.Equals("iB", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        return char.ToUpperInvariant(unit[0]) switch
        {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            'T' => 40,
            _ => null,
        };
    }
}
