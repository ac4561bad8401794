using System.Globalization;

namespace CooperativeLinux.Devices.Control;

/// <summary>What a guest says about its memory, in the node <c>data/memory</c> (docs/control.md).</summary>
/// <param name="TotalKiB">MemTotal of its /proc/meminfo.</param>
/// <param name="AvailableKiB">MemAvailable: what programs can have without swapping, with the page cache taken back.</param>
public readonly record struct MemoryReport(long TotalKiB, long AvailableKiB)
{
    /// <summary>Where a guest writes it, below its directory in the store.</summary>
    public const string Node = "data/memory";

    /// <summary>Reads two decimal numbers with a blank between them; false for anything else, and for what cannot be.</summary>
    public static bool TryParse(string? text, out MemoryReport report)
    {
        report = default;
        string[] words = (text ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length != 2
            || !long.TryParse(words[0], NumberStyles.None, CultureInfo.InvariantCulture, out long total)
            || !long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out long available)
            || available > total
            || total > long.MaxValue >> 10)
        {
            return false;
        }

        report = new MemoryReport(total, available);
        return true;
    }
}
