using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>A disk whose bytes are those of a file or block device of the host. A last incomplete sector is left out.</summary>
public sealed class RawDisk : BaseDisk
{
    private readonly DiskFile _file;
    private volatile bool _hasLostWrites;

    private RawDisk(DiskFile file)
    {
        _file = file;
        Length = file.Length / SectorSize * SectorSize;
    }

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    public override bool IsReadOnly => !_file.IsWritable;

    /// <inheritdoc/>
    public override string Description => _file.Path;

    /// <summary>Opens and locks it.</summary>
    /// <param name="path">File or block device.</param>
    /// <param name="isReadOnly">Whether it will not be written; several may then have it open.</param>
    /// <exception cref="IOException">It cannot be used; the message is one line for the user.</exception>
    public static RawDisk Open(string path, bool isReadOnly) => Open(DiskFile.Open(path, !isReadOnly));

    /// <summary>Takes an open file over.</summary>
    internal static RawDisk Open(DiskFile file)
    {
        try
        {
            RefuseOtherFormats(file);
            RawDisk disk = new(file);
            return disk.Length > 0 ? disk : throw new IOException($"the disk {file.Path} has no sectors; give it a size with: colinux disk resize {file.Path} 8G");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>A file is never taken for more than its bytes, since the guest can write any header into its raw disk. But it is not run over either.</summary>
    private static void RefuseOtherFormats(DiskFile file)
    {
        Span<byte> start = stackalloc byte[Disk.SectorSize];
        file.Read(start, 0);
        if (start.StartsWith(OverlayHeader.Magic))
        {
            throw new IOException($"{file.Path} is an overlay; name its base first: --disk BASE,overlay={file.Path}");
        }

        if (Qcow2Header.IsAtStartOf(file))
        {
            throw new IOException($"{file.Path} is a qcow2 image, which is read but not written: --disk {file.Path},ro or --disk {file.Path},overlay=FILE; or make a raw one of it with: qemu-img convert -O raw");
        }
    }

    /// <inheritdoc/>
    public override void Read(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        if (_file.Read(buffers, offset) < IoBuffer.TotalLength(buffers))
        {
            throw new IOException($"{_file.Path} was cut off on the host and is shorter than the disk");
        }
    }

    /// <inheritdoc/>
    public override bool TryReadCached(ReadOnlySpan<IoBuffer> buffers, long offset) => _file.TryReadCached(buffers, offset);

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<IoBuffer> buffers, long offset) => _file.Write(buffers, offset);

    /// <inheritdoc/>
    public override bool IsWriteQuick(long offset, long length) =>
        // The host would first have to read the rest of a page.
        offset % PhysicalSectorSize == 0 && length % PhysicalSectorSize == 0;

    /// <inheritdoc/>
    public override void Flush()
    {
        // The host reports lost writes once; whoever asks again must not be told that all is well.
        if (_hasLostWrites)
        {
            throw new IOException($"writes to {_file.Path} were lost before");
        }

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

    /// <inheritdoc/>
    public override void Discard(long offset, long length) => _file.PunchHole(offset, length);

    /// <inheritdoc/>
    internal override BaseIdentity Identify() => BaseIdentity.Of(_file);

    /// <inheritdoc/>
    internal override void ReadPadded(ReadOnlySpan<IoBuffer> buffers, long offset) => _file.Read(buffers, offset);

    /// <inheritdoc/>
    public override void Dispose() => _file.Dispose();
}
