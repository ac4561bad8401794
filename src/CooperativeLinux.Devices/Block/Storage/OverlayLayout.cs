namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>
/// Where things are in an overlay file (docs/disks.md). Two copies of the header, then regions: a page of bits, one for each cluster that the
/// overlay holds, and the clusters themselves in the order of the disk. What is not held is a hole in the file.
/// </summary>
/// <code>
/// 0      header, copy 0
/// 4096   header, copy 1
/// 8192   region 0: 4096 bytes of bits, 32768 clusters of 4096 bytes
/// ...    region 1
/// </code>
internal static class OverlayLayout
{
    /// <summary>Bytes that are held or not as a whole.</summary>
    public const int ClusterSize = 4096;

    /// <summary>Bytes of the bits of a region, which are read and written as a whole.</summary>
    public const int MapSize = 4096;

    /// <summary>Clusters of a region.</summary>
    public const int RegionClusters = MapSize * 8;

    /// <summary>Copies of the header.</summary>
    public const int HeaderCopies = 2;

    /// <summary>Position of the first region.</summary>
    public const long Regions = HeaderCopies * OverlayHeader.Size;

    private const long RegionSize = MapSize + ((long)RegionClusters * ClusterSize);

    /// <summary>Clusters of a disk; the last may be incomplete.</summary>
    public static long ClusterCount(long diskLength) => (diskLength + ClusterSize - 1) / ClusterSize;

    /// <summary>Regions of a disk.</summary>
    public static int RegionCount(long diskLength) => checked((int)((ClusterCount(diskLength) + RegionClusters - 1) / RegionClusters));

    /// <summary>Position of the bits of a region.</summary>
    public static long MapOffset(int region) => Regions + (region * RegionSize);

    /// <summary>Position in the file of a byte of the disk.</summary>
    public static long DataOffset(long diskOffset)
    {
        long region = diskOffset / ((long)RegionClusters * ClusterSize);
        return Regions + (region * RegionSize) + MapSize + (diskOffset % ((long)RegionClusters * ClusterSize));
    }
}
