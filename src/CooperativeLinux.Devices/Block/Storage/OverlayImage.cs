using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>Work on an overlay file that no machine uses: making it, writing it into its base, changing its size or base.</summary>
/// <remarks>All methods throw an <see cref="IOException"/> whose message is one line for the user.</remarks>
public static class OverlayImage
{
    private const int CopySize = 1 << 20;

    /// <summary>Makes an overlay that holds nothing yet.</summary>
    /// <param name="path">Where nothing is yet.</param>
    /// <param name="basePath">What it begins with; may be a block device.</param>
    /// <param name="length">Bytes of the disk, a multiple of the sector size, at least the base's; null: the base's.</param>
    public static void Create(string path, string basePath, long? length = null)
    {
        using BaseDisk baseDisk = BaseDisk.OpenReadOnly(basePath);
        if (length < baseDisk.Length)
        {
            throw new IOException($"an overlay is at least as large as its base; {basePath} has {baseDisk.Length} bytes");
        }

        DiskImage.CreateFile(path, file => Create(file, baseDisk, length ?? baseDisk.Length));
    }

    /// <summary>The same with an open, empty file.</summary>
    internal static void Create(DiskFile file, BaseDisk baseDisk, long length)
    {
        OverlayHeader header = new() { DiskLength = length, Base = baseDisk.Identify(), BasePath = PathFrom(file.Path, baseDisk.Description) };
        header.Write(file);
    }

    /// <summary>Writes what an overlay holds into its base, and empties the overlay. Can be repeated after an interruption at any moment.</summary>
    /// <param name="path">The overlay.</param>
    /// <param name="basePath">The base, or null: where it was when the overlay was made.</param>
    /// <returns>Bytes that went into the base.</returns>
    public static long Commit(string path, string? basePath = null)
    {
        using DiskFile file = DiskFile.Open(path, isWritable: true);
        OverlayHeader header = OverlayHeader.Read(file);
        using DiskFile baseFile = DiskFile.Open(basePath ?? FullBasePath(path, header), isWritable: true);
        return Commit(file, baseFile);
    }

    /// <summary>The same with open files.</summary>
    internal static long Commit(DiskFile file, DiskFile baseFile)
    {
        string path = file.Path;
        string basePath = baseFile.Path;
        OverlayHeader header = OverlayHeader.Read(file);
        if (Qcow2Header.IsAtStartOf(baseFile))
        {
            throw new IOException($"the overlay {path} cannot be written into {basePath}, since that is a qcow2 image");
        }

        if (!header.IsCommitting)
        {
            if (BaseIdentity.Of(baseFile).Difference(header.Base) is string difference)
            {
                throw new IOException($"the overlay {path} does not fit: {basePath} {difference}, since the overlay was made");
            }

            header = (header with { IsCommitting = true }).Write(file);
        }

        if (baseFile.Length < header.DiskLength)
        {
            if (baseFile.IsDevice)
            {
                throw new IOException($"the device {basePath} is smaller than the overlay's disk of {header.DiskLength} bytes");
            }

            baseFile.SetLength(header.DiskLength);
        }

        long copied = CopyHeld(file, header.DiskLength, baseFile);
        baseFile.Flush();

        // Nothing of this is needed any more, and all of it may be there again or not after an interruption.
        file.SetLength(OverlayLayout.Regions);
        file.Flush();
        (header with { IsCommitting = false, Base = BaseIdentity.Of(baseFile), BasePath = PathFrom(path, basePath) }).Write(file);
        return copied;
    }

    /// <summary>Changes the size of an overlay's disk.</summary>
    /// <param name="path">The overlay.</param>
    /// <param name="length">Bytes, a multiple of the sector size.</param>
    /// <param name="mayShrink">Whether what lies behind the new end may be lost.</param>
    public static void Resize(string path, long length, bool mayShrink)
    {
        using DiskFile file = DiskFile.Open(path, isWritable: true);
        Resize(file, length, mayShrink);
    }

    /// <summary>The same with an open file.</summary>
    internal static void Resize(DiskFile file, long length, bool mayShrink)
    {
        OverlayHeader header = OverlayHeader.Read(file);
        DiskImage.CheckResize(file.Path, header.DiskLength, length, mayShrink);
        if (length < header.DiskLength)
        {
            header = (header with { DiskLength = length }).Write(file);
        }

        // Also before growing: a former shrinking may have been interrupted here.
        Trim(file, header.DiskLength);
        if (length > header.DiskLength)
        {
            (header with { DiskLength = length }).Write(file);
        }
    }

    /// <summary>Ties an overlay to its base anew: after the base was moved or copied, or when its owner knows that a change does no harm.</summary>
    /// <param name="path">The overlay.</param>
    /// <param name="basePath">The base.</param>
    /// <param name="mayDiffer">Whether the base's content may differ from what it was.</param>
    public static void Rebase(string path, string basePath, bool mayDiffer)
    {
        using DiskFile file = DiskFile.Open(path, isWritable: true);
        OverlayHeader header = OverlayHeader.Read(file);
        if (header.IsCommitting)
        {
            throw new IOException($"writing the overlay {path} into its base was interrupted; finish it with: colinux disk commit {path}");
        }

        using BaseDisk baseDisk = BaseDisk.OpenReadOnly(basePath);
        BaseIdentity identity = baseDisk.Identify();
        if (!mayDiffer && (identity with { LastWriteTimeUtc = header.Base.LastWriteTimeUtc }).Difference(header.Base) is string difference)
        {
            throw new IOException($"{basePath} {difference}, since the overlay {path} was made; --force takes it all the same");
        }

        (header with { Base = identity, BasePath = PathFrom(path, basePath) }).Write(file);
    }

    /// <summary>Describes an overlay.</summary>
    /// <param name="file">Open, and known to be an overlay.</param>
    internal static IEnumerable<(string Name, string Value)> Describe(DiskFile file)
    {
        OverlayHeader header = OverlayHeader.Read(file);
        string basePath = FullBasePath(file.Path, header);
        yield return ("format", "overlay");
        yield return ("size", DiskImage.Bytes(header.DiskLength));
        yield return ("differs", DiskImage.Bytes(OverlayMap.Load(file, header.DiskLength).Count * OverlayLayout.ClusterSize));
        yield return ("on the host", DiskImage.Bytes(file.AllocatedLength));
        yield return ("base", basePath);
        yield return ("state", header.IsCommitting ? "being written into its base (interrupted)" : BaseState(basePath, header));
    }

    private static string BaseState(string basePath, OverlayHeader header)
    {
        try
        {
            using BaseDisk baseDisk = BaseDisk.OpenReadOnly(basePath);
            return baseDisk.Identify().Difference(header.Base) is string difference ? $"the base {difference}" : "fits its base";
        }
        catch (IOException exception)
        {
            return exception.Message;
        }
    }

    private static long CopyHeld(DiskFile file, long diskLength, DiskFile target)
    {
        OverlayMap map = OverlayMap.Load(file, diskLength);
        byte[] buffer = new byte[CopySize];
        long copied = 0;
        for (long cluster = 0; cluster < map.ClusterCount;)
        {
            long end = map.FindRun(cluster, Math.Min(map.ClusterCount, cluster + (CopySize / OverlayLayout.ClusterSize)), out bool isHeld);
            if (isHeld)
            {
                long offset = cluster * OverlayLayout.ClusterSize;
                Span<byte> content = buffer.AsSpan(0, (int)(Math.Min(end * OverlayLayout.ClusterSize, diskLength) - offset));
                file.Read(content, OverlayLayout.DataOffset(offset));
                Write(target, content, offset);
                copied += content.Length;
            }

            cluster = end;
        }

        return copied;
    }

    private static void Write(DiskFile target, ReadOnlySpan<byte> content, long offset)
    {
        if (!content.ContainsAnyExcept((byte)0))
        {
            try
            {
                target.PunchHole(offset, content.Length);
                return;
            }
            catch (NotSupportedException)
            {
                // Zeros do as well.
            }
        }

        target.Write(content, offset);
    }

    /// <summary>Forgets what lies behind the end of a disk.</summary>
    private static void Trim(DiskFile file, long diskLength)
    {
        long dataEnd = OverlayLayout.DataOffset(diskLength - 1) + 1;
        if (file.Length > dataEnd)
        {
            file.SetLength(dataEnd);
        }

        byte[] page = new byte[OverlayLayout.MapSize];
        long mapOffset = OverlayLayout.MapOffset(OverlayLayout.RegionCount(diskLength) - 1);
        long clusters = ((OverlayLayout.ClusterCount(diskLength) - 1) % OverlayLayout.RegionClusters) + 1;
        file.Read(page, mapOffset);
        for (long bit = clusters; bit < OverlayLayout.RegionClusters; bit++)
        {
            page[bit / 8] &= (byte)~(1 << (int)(bit % 8));
        }

        file.Write(page, mapOffset);
        file.Flush();
    }

    private static string FullBasePath(string path, OverlayHeader header) =>
        Path.GetFullPath(header.BasePath, Path.GetDirectoryName(Path.GetFullPath(path)) ?? Path.GetFullPath(path));

    /// <summary>Relative where the overlay and its base can be moved together, else complete.</summary>
    private static string PathFrom(string path, string basePath)
    {
        string full = Path.GetFullPath(basePath);
        string relative = Path.GetRelativePath(Path.GetDirectoryName(Path.GetFullPath(path)) ?? full, full);
        return relative.StartsWith("..", StringComparison.Ordinal) ? full : relative;
    }
}
