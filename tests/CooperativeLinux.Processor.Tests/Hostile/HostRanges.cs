using System.Globalization;
using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Hostile;

/// <summary>Accessible mappings of this process above 4 GiB, to recognise host addresses in what a guest can see.</summary>
internal sealed class HostRanges
{
    private readonly List<(ulong Start, ulong End)> _ranges = [];

    /// <summary>Reads the mappings; none where the host has no /proc/self/maps.</summary>
    public HostRanges()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        foreach (string line in File.ReadLines("/proc/self/maps"))
        {
            string[] parts = line.Split(' ', 3);
            string[] ends = parts[0].Split('-');
            ulong start = ulong.Parse(ends[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            ulong end = ulong.Parse(ends[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);

            // The native runner's pages have a low address that chance can make.
            bool isOracle = TestLayout.RegionOffset(start) >= 0;
            if (!isOracle && !parts[1].StartsWith("---", StringComparison.Ordinal) && start >= 1UL << 32 && start < 1UL << 47)
            {
                _ranges.Add((start, end));
            }
        }
    }

    public bool Contains(ulong value)
    {
        int low = 0;
        int high = _ranges.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (value >= _ranges[middle].End)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low < _ranges.Count && value >= _ranges[low].Start;
    }
}
