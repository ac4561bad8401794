using System.Numerics;
using System.Runtime.InteropServices;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>Which clusters an overlay holds. Bits are only ever set while a machine runs, so that any mixture of an old and a new page of them is
/// right as long as the clusters were durable first. Any thread.</summary>
internal sealed class OverlayMap
{
    private const int WordBits = 64;
    private const int RegionWords = OverlayLayout.RegionClusters / WordBits;

    private readonly ulong[] _words;
    private readonly int[] _isRegionDirty;
    private readonly long _clusters;

    private OverlayMap(long diskLength)
    {
        int regions = OverlayLayout.RegionCount(diskLength);
        _clusters = OverlayLayout.ClusterCount(diskLength);
        _words = new ulong[regions * (long)RegionWords];
        _isRegionDirty = new int[regions];
    }

    /// <summary>Clusters held.</summary>
    public long Count => _words.Sum(word => (long)BitOperations.PopCount(word));

    /// <summary>Clusters of the disk.</summary>
    public long ClusterCount => _clusters;

    /// <summary>Reads all bits.</summary>
    public static OverlayMap Load(DiskFile file, long diskLength)
    {
        OverlayMap map = new(diskLength);
        for (int region = 0; region < map._isRegionDirty.Length; region++)
        {
            file.Read(MemoryMarshal.AsBytes(map.RegionWordsOf(region)), OverlayLayout.MapOffset(region));
        }

        return map;
    }

    /// <summary>Finds clusters that are alike.</summary>
    /// <param name="first">Where to begin.</param>
    /// <param name="end">Where to end; above <paramref name="first"/>, at most <see cref="ClusterCount"/>.</param>
    /// <param name="isHeld">Whether the overlay holds them.</param>
    /// <returns>The cluster after the last that is like the first and follows it in the file.</returns>
    public long FindRun(long first, long end, out bool isHeld)
    {
        long cluster = first;
        end = Math.Min(end, ((first / OverlayLayout.RegionClusters) + 1) * OverlayLayout.RegionClusters);
        ulong word = Word(cluster);
        isHeld = (word >> (int)(cluster % WordBits) & 1) != 0;
        while (true)
        {
            // Ones where the state differs from the first cluster's.
            ulong different = (isHeld ? ~word : word) >> (int)(cluster % WordBits);
            if (different != 0)
            {
                return Math.Min(end, cluster + BitOperations.TrailingZeroCount(different));
            }

            cluster = ((cluster / WordBits) + 1) * WordBits;
            if (cluster >= end)
            {
                return end;
            }

            word = Word(cluster);
        }
    }

    /// <summary>Whether all of some clusters are held.</summary>
    public bool IsHeld(long first, long end)
    {
        while (first < end)
        {
            first = FindRun(first, end, out bool isHeld);
            if (!isHeld)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Notes that clusters are held; their content must have been written before.</summary>
    public void Mark(long first, long end)
    {
        for (long cluster = first; cluster < end;)
        {
            long next = Math.Min(end, ((cluster / WordBits) + 1) * WordBits);
            ulong bits = (ulong.MaxValue >> (WordBits - (int)(next - cluster))) << (int)(cluster % WordBits);
            if ((Interlocked.Or(ref _words[cluster / WordBits], bits) & bits) != bits)
            {
                Volatile.Write(ref _isRegionDirty[cluster / OverlayLayout.RegionClusters], 1);
            }

            cluster = next;
        }
    }

    /// <summary>The pages of bits that changed since the last call, as they are now.</summary>
    public List<(int Region, byte[] Page)> TakeChanges()
    {
        List<(int, byte[])> changes = [];
        for (int region = 0; region < _isRegionDirty.Length; region++)
        {
            if (Volatile.Read(ref _isRegionDirty[region]) != 0 && Interlocked.Exchange(ref _isRegionDirty[region], 0) != 0)
            {
                changes.Add((region, MemoryMarshal.AsBytes(RegionWordsOf(region)).ToArray()));
            }
        }

        return changes;
    }

    /// <summary>Takes a page back that could not be written.</summary>
    public void ReturnChange(int region) => Volatile.Write(ref _isRegionDirty[region], 1);

    private ulong Word(long cluster) => Volatile.Read(ref _words[cluster / WordBits]);

    private Span<ulong> RegionWordsOf(int region) => _words.AsSpan(region * RegionWords, RegionWords);
}
