using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>
/// A disk that reads from a base and keeps what is written in a file of its own, cluster by cluster (docs/disks.md). A cluster counts as held
/// in the file only after its content is durable, so that the end of the process or the host at any moment leaves, for each sector, what it
/// was at the last flush or what was written since.
/// </summary>
public sealed class OverlayDisk : Disk
{
    private const int ClusterSize = OverlayLayout.ClusterSize;
    private const int MaxBuffers = 1024;

    private readonly DiskFile _file;
    private readonly BaseDisk _base;
    private readonly OverlayMap _map;
    private readonly RangeLock _filling = new();
    private readonly Lock _flushGate = new();
    private bool _hasLostWrites;
    private bool _isDisposed;

    private OverlayDisk(DiskFile file, OverlayHeader header, BaseDisk baseDisk)
    {
        _file = file;
        _base = baseDisk;
        _map = OverlayMap.Load(file, header.DiskLength);
        Length = header.DiskLength;
    }

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    public override bool IsReadOnly => !_file.IsWritable;

    /// <inheritdoc/>
    public override string Description => $"{_file.Path} over {_base.Description}";

    /// <summary>Opens and locks an overlay and its base.</summary>
    /// <param name="path">The overlay.</param>
    /// <param name="basePath">The base, which must be as it was when the overlay was made.</param>
    /// <param name="isReadOnly">Whether the overlay will not be written.</param>
    /// <exception cref="IOException">One of them cannot be used, or they do not belong together; the message is one line for the user.</exception>
    public static OverlayDisk Open(string path, string basePath, bool isReadOnly) =>
        Open(DiskFile.Open(path, !isReadOnly), () => BaseDisk.OpenReadOnly(basePath));

    /// <summary>Takes an open overlay over.</summary>
    internal static OverlayDisk Open(DiskFile file, Func<BaseDisk> openBase)
    {
        BaseDisk? baseDisk = null;
        string path = file.Path;
        try
        {
            OverlayHeader header = OverlayHeader.Read(file);
            if (header.IsCommitting)
            {
                throw new IOException($"writing the overlay {path} into its base was interrupted; finish it with: colinux disk commit {path}");
            }

            baseDisk = openBase();
            string basePath = baseDisk.Description;
            if (baseDisk.Identify().Difference(header.Base) is string difference)
            {
                throw new IOException(
                    $"the overlay {path} does not fit: {basePath} {difference}, since the overlay was made (if that is as it should be: colinux disk rebase {path} {basePath})");
            }

            return new OverlayDisk(file, header, baseDisk);
        }
        catch
        {
            baseDisk?.Dispose();
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override void Read(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        long length = IoBuffer.TotalLength(buffers);
        long end = offset + length;
        Span<IoBuffer> part = buffers.Length <= MaxBuffers ? stackalloc IoBuffer[buffers.Length] : throw new ArgumentException("Too many pieces.", nameof(buffers));
        for (long position = offset; position < end;)
        {
            long runEnd = FindRun(position, end, out bool isHeld);
            ReadOnlySpan<IoBuffer> run = IoBuffer.Slice(buffers, position - offset, runEnd - position, part);
            if (isHeld)
            {
                _file.Read(run, OverlayLayout.DataOffset(position));
            }
            else
            {
                _base.ReadPadded(run, position);
            }

            position = runEnd;
        }
    }

    /// <inheritdoc/>
    public override bool TryReadCached(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        long end = offset + IoBuffer.TotalLength(buffers);
        return FindRun(offset, end, out bool isHeld) == end
            && (isHeld ? _file.TryReadCached(buffers, OverlayLayout.DataOffset(offset)) : _base.TryReadCached(buffers, offset));
    }

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        long end = offset + IoBuffer.TotalLength(buffers);
        long first = offset / ClusterSize;
        long last = OverlayLayout.ClusterCount(end);
        if (_map.IsHeld(first, last))
        {
            WriteData(buffers, offset, end);
            return;
        }

        _filling.Enter(first, last);
        try
        {
            // The rest of a cluster comes from the base, unless another thread has just brought it.
            FillUnlessHeld(first, first * ClusterSize, offset);
            FillUnlessHeld(last - 1, end, Math.Min(last * ClusterSize, Length));
            WriteData(buffers, offset, end);
            _map.Mark(first, last);
        }
        finally
        {
            _filling.Exit(first, last);
        }
    }

    /// <inheritdoc/>
    public override bool IsWriteQuick(long offset, long length) =>
        offset % ClusterSize == 0 && length % ClusterSize == 0 && _map.IsHeld(offset / ClusterSize, OverlayLayout.ClusterCount(offset + length));

    /// <inheritdoc/>
    public override void Flush()
    {
        lock (_flushGate)
        {
            if (_hasLostWrites)
            {
                throw new IOException($"writes to {_file.Path} were lost before");
            }

            // The clusters, then the bits that say that they are there.
            List<(int Region, byte[] Page)> changes = _map.TakeChanges();
            try
            {
                Synchronize();
                foreach ((int region, byte[] page) in changes)
                {
                    _file.Write(page, OverlayLayout.MapOffset(region));
                }

                if (changes.Count > 0)
                {
                    Synchronize();
                }
            }
            catch (IOException)
            {
                changes.ForEach(change => _map.ReturnChange(change.Region));
                throw;
            }
        }
    }

    /// <inheritdoc/>
    public override void Discard(long offset, long length)
    {
        // A hole that counts as held reads zero; the base's content does not come back.
        long first = OverlayLayout.ClusterCount(offset);
        long end = offset + length == Length ? OverlayLayout.ClusterCount(Length) : (offset + length) / ClusterSize;
        if (first >= end)
        {
            return;
        }

        _filling.Enter(first, end);
        try
        {
            for (long cluster = first; cluster < end;)
            {
                long runEnd = Math.Min(end, ((cluster / OverlayLayout.RegionClusters) + 1) * OverlayLayout.RegionClusters);
                _file.PunchHole(OverlayLayout.DataOffset(cluster * ClusterSize), (runEnd - cluster) * ClusterSize);
                cluster = runEnd;
            }

            _map.Mark(first, end);
        }
        finally
        {
            _filling.Exit(first, end);
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        try
        {
            if (!IsReadOnly)
            {
                Flush();
            }
        }
        catch (IOException)
        {
            // The guest was told of it at its last flush, or did not ask.
        }

        _file.Dispose();
        _base.Dispose();
    }

    private void Synchronize()
    {
        try
        {
            _file.Flush();
        }
        catch (IOException)
        {
            _hasLostWrites = true;
            throw;
        }
    }

    private long FindRun(long position, long end, out bool isHeld) =>
        Math.Min(end, _map.FindRun(position / ClusterSize, OverlayLayout.ClusterCount(end), out isHeld) * ClusterSize);

    private void WriteData(ReadOnlySpan<IoBuffer> buffers, long offset, long end)
    {
        const long RegionBytes = (long)OverlayLayout.RegionClusters * ClusterSize;
        if (offset / RegionBytes == (end - 1) / RegionBytes)
        {
            _file.Write(buffers, OverlayLayout.DataOffset(offset));
            return;
        }

        IoBuffer[] part = new IoBuffer[buffers.Length];
        for (long position = offset; position < end;)
        {
            long next = Math.Min(end, ((position / RegionBytes) + 1) * RegionBytes);
            _file.Write(IoBuffer.Slice(buffers, position - offset, next - position, part), OverlayLayout.DataOffset(position));
            position = next;
        }
    }

    private unsafe void FillUnlessHeld(long cluster, long from, long to)
    {
        if (from >= to || _map.IsHeld(cluster, cluster + 1))
        {
            return;
        }

        byte* content = stackalloc byte[ClusterSize];
        Span<IoBuffer> buffer = [new IoBuffer(content, (int)(to - from))];
        _base.ReadPadded(buffer, from);
        _file.Write(buffer, OverlayLayout.DataOffset(from));
    }
}
