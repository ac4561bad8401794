using System.Buffers.Binary;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>
/// A qcow2 image that is read and never written (QEMU: docs/interop/qcow2.txt). The L1 table has the places of L2 tables, each a cluster
/// long, and those the places of the disk's clusters. No number in the image is trusted: what lies outside the file fails the read.
/// </summary>
public sealed class Qcow2Disk : BaseDisk
{
    private const ulong PlaceMask = 0x00ff_ffff_ffff_fe00;
    private const ulong IsPacked = 1ul << 62;
    private const ulong ReadsZero = 1;
    private const int MaxBuffers = 1024;

    // A table of 64 KiB stands for 512 MiB of the disk.
    private const long TableCacheSize = 8 << 20;

    private readonly DiskFile _file;
    private readonly Qcow2Header _header;
    private readonly ulong[] _tables;
    private readonly PieceCache _tableCache = new(TableCacheSize);
    private readonly Qcow2Unpacker _unpacker;
    private readonly long _fileLength;
    private readonly long _clusterSize;

    private Qcow2Disk(DiskFile file, Qcow2Header header)
    {
        _file = file;
        _header = header;
        _fileLength = file.Length;
        _clusterSize = 1L << header.ClusterBits;
        _tables = new ulong[header.TableEntries];
        byte[] table = new byte[header.TableEntries * sizeof(ulong)];
        file.Read(table, header.TableOffset);
        for (int i = 0; i < _tables.Length; i++)
        {
            _tables[i] = BinaryPrimitives.ReadUInt64BigEndian(table.AsSpan(i * sizeof(ulong))) & PlaceMask;
            if (_tables[i] != 0)
            {
                CheckPlace(_tables[i], _clusterSize, "an L2 table");
            }
        }

        _unpacker = new Qcow2Unpacker(file, (int)_clusterSize, header.Compression);
    }

    private enum ExtentKind
    {
        Zero,
        Data,
        Packed,
    }

    /// <inheritdoc/>
    public override long Length => _header.DiskLength;

    /// <inheritdoc/>
    public override bool IsReadOnly => true;

    /// <inheritdoc/>
    public override string Description => _file.Path;

    /// <summary>Takes an open file over, unless it fails.</summary>
    /// <exception cref="IOException">It is damaged or needs what is not supported; the message is one line for the user.</exception>
    internal static Qcow2Disk Open(DiskFile file) => new(file, Qcow2Header.Read(file));

    /// <summary>Describes an image.</summary>
    /// <param name="file">Open, and known to be a qcow2 image.</param>
    internal static IEnumerable<(string Name, string Value)> Describe(DiskFile file)
    {
        Qcow2Header header = Qcow2Header.Read(file);
        yield return ("format", $"qcow2, version {header.Version}, read-only");
        yield return ("size", DiskImage.Bytes(header.DiskLength));
        yield return ("clusters", DiskImage.Bytes(1L << header.ClusterBits));
        yield return ("packed by", header.Compression == Qcow2Compression.Zstd ? "zstd" : "zlib");
        yield return ("on the host", DiskImage.Bytes(file.AllocatedLength));
    }

    /// <inheritdoc/>
    public override void Read(ReadOnlySpan<IoBuffer> buffers, long offset) => TryRead(buffers, offset, mayWait: true);

    /// <inheritdoc/>
    public override bool TryReadCached(ReadOnlySpan<IoBuffer> buffers, long offset) => TryRead(buffers, offset, mayWait: false);

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<IoBuffer> buffers, long offset) => throw NotWritable();

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override void Discard(long offset, long length) => throw NotWritable();

    /// <inheritdoc/>
    internal override BaseIdentity Identify() => BaseIdentity.Of(_file);

    /// <inheritdoc/>
    internal override void ReadPadded(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        long total = IoBuffer.TotalLength(buffers);
        long there = Math.Clamp(Length - offset, 0, total);
        IoBuffer[] part = new IoBuffer[buffers.Length];
        if (there > 0)
        {
            Read(IoBuffer.Slice(buffers, 0, there, part), offset);
        }

        Clear(IoBuffer.Slice(buffers, there, total - there, part));
    }

    /// <inheritdoc/>
    public override void Dispose() => _file.Dispose();

    private static void Clear(ReadOnlySpan<IoBuffer> buffers)
    {
        foreach (IoBuffer buffer in buffers)
        {
            buffer.Span.Clear();
        }
    }

    private static void Copy(ReadOnlySpan<byte> source, ReadOnlySpan<IoBuffer> buffers)
    {
        foreach (IoBuffer buffer in buffers)
        {
            source[..buffer.Length].CopyTo(buffer.Span);
            source = source[buffer.Length..];
        }
    }

    private IOException NotWritable() => new($"{_file.Path} is a qcow2 image, which is only read");

    /// <summary>Reads.</summary>
    /// <param name="mayWait">Whether it may wait for the host's storage or unpack; it always succeeds then.</param>
    private bool TryRead(ReadOnlySpan<IoBuffer> buffers, long offset, bool mayWait)
    {
        long end = offset + IoBuffer.TotalLength(buffers);
        Span<IoBuffer> part = buffers.Length <= MaxBuffers ? stackalloc IoBuffer[buffers.Length] : throw new ArgumentException("Too many pieces.", nameof(buffers));
        for (long position = offset; position < end;)
        {
            if (!TryFindExtent(position, end, mayWait, out Extent extent)
                || !TryRead(IoBuffer.Slice(buffers, position - offset, extent.Length, part), extent, mayWait))
            {
                return false;
            }

            position += extent.Length;
        }

        return true;
    }

    private bool TryRead(ReadOnlySpan<IoBuffer> buffers, Extent extent, bool mayWait)
    {
        switch (extent.Kind)
        {
            case ExtentKind.Data when mayWait:
                _file.Read(buffers, extent.Place);
                return true;
            case ExtentKind.Data:
                return _file.TryReadCached(buffers, extent.Place);
            case ExtentKind.Packed:
                byte[]? cluster = mayWait ? _unpacker.Unpack(extent.Place, extent.PackedLength) : _unpacker.Find(extent.Place);
                if (cluster is not null)
                {
                    Copy(cluster.AsSpan(extent.Skip), buffers);
                }

                return cluster is not null;
            default:
                Clear(buffers);
                return true;
        }
    }

    /// <summary>Finds what can be read at once.</summary>
    /// <returns>False if a table is not in memory and may not be waited for.</returns>
    private bool TryFindExtent(long position, long end, bool mayWait, out Extent extent)
    {
        if (!TryFindCluster(position, end, mayWait, out extent))
        {
            return false;
        }

        while (extent.Kind != ExtentKind.Packed && position + extent.Length < end
            && TryFindCluster(position + extent.Length, end, mayWait, out Extent next) && next.Continues(extent))
        {
            extent = extent with { Length = extent.Length + next.Length };
        }

        return true;
    }

    private bool TryFindCluster(long position, long end, bool mayWait, out Extent extent)
    {
        long cluster = position >> _header.ClusterBits;
        int tableBits = _header.ClusterBits - 3;
        int skip = (int)(position & (_clusterSize - 1));
        extent = new Extent(ExtentKind.Zero, Math.Min(end - position, _clusterSize - skip));
        ulong table = _tables[cluster >> tableBits];
        if (table == 0)
        {
            return true;
        }

        if (Table((long)table, mayWait) is not byte[] entries)
        {
            return false;
        }

        ulong entry = BinaryPrimitives.ReadUInt64BigEndian(entries.AsSpan((int)(cluster & ((1L << tableBits) - 1)) * sizeof(ulong)));
        if ((entry & IsPacked) != 0)
        {
            extent = Packed(entry, extent.Length, skip);
            return true;
        }

        ulong place = entry & PlaceMask;
        if (place != 0 && ((entry & ReadsZero) == 0 || _header.Version < 3))
        {
            // The file may end within its last cluster.
            CheckPlace(place, 1, "a cluster");
            extent = extent with { Kind = ExtentKind.Data, Place = (long)place + skip };
        }

        return true;
    }

    /// <summary>Bits of an entry from the lowest: place in bytes, sectors beyond the first, the mark.</summary>
    private Extent Packed(ulong entry, long length, int skip)
    {
        int placeBits = 62 - (_header.ClusterBits - 8);
        long place = (long)(entry & ((1ul << placeBits) - 1));
        long sectors = (long)((entry & (IsPacked - 1)) >> placeBits) + 1;
        if (place >= _fileLength)
        {
            throw Qcow2Header.Damaged(_file, $"a packed cluster at {place}, beyond its end");
        }

        long packedEnd = Math.Min(_fileLength, (place / SectorSize * SectorSize) + (sectors * SectorSize));
        return new Extent(ExtentKind.Packed, length) { Place = place, PackedLength = (int)(packedEnd - place), Skip = skip };
    }

    private byte[]? Table(long place, bool mayWait)
    {
        if (!_tableCache.TryGet(place, out byte[]? table) && mayWait)
        {
            table = new byte[_clusterSize];
            _file.Read(table, place);
            _tableCache.Add(place, table);
        }

        return table;
    }

    private void CheckPlace(ulong place, long length, string what)
    {
        if (place % (ulong)_clusterSize != 0)
        {
            throw Qcow2Header.Damaged(_file, $"{what} at {place}, which is no multiple of its clusters");
        }

        if ((long)place > _fileLength - length)
        {
            throw Qcow2Header.Damaged(_file, $"{what} at {place}, beyond its end");
        }
    }

    /// <summary>A part of the disk that is in one place.</summary>
    /// <param name="Kind">What it is.</param>
    /// <param name="Length">Bytes of the disk.</param>
    private readonly record struct Extent(ExtentKind Kind, long Length)
    {
        /// <summary>First byte in the file; of a packed cluster, its own.</summary>
        public long Place { get; init; }

        /// <summary>Bytes in the file at most, of a packed cluster.</summary>
        public int PackedLength { get; init; }

        /// <summary>Bytes of an unpacked cluster before this part.</summary>
        public int Skip { get; init; }

        /// <summary>Whether this can be read together with what is before it.</summary>
        public bool Continues(Extent previous) => Kind == previous.Kind && (Kind == ExtentKind.Zero || Place == previous.Place + previous.Length);
    }
}
