using System.Buffers.Binary;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>How the compressed clusters of a qcow2 image are packed.</summary>
internal enum Qcow2Compression : byte
{
    Deflate = 0,
    Zstd = 1,
}

/// <summary>
/// The header of a qcow2 image, versions 2 and 3 (QEMU: docs/interop/qcow2.txt), as far as reading needs it. Numbers are big-endian: u32 magic,
/// u32 version, u64 and u32 at 8 and 16 place and length of the backing file's name, u32 cluster bits at 20, u64 size at 24, u32 encryption
/// at 32, u32 entries and u64 place of the L1 table at 36 and 40; version 3: u64 incompatible features at 72, u32 length of the header at
/// 100, u8 compression at 104.
/// </summary>
internal sealed record Qcow2Header
{
    private const int ReadSize = 512;
    private const int LeastLengthOfVersion3 = 104;
    private const int LeastClusterBits = 9, MostClusterBits = 21;

    // As in QEMU; enough for 2 PiB with clusters of 64 KiB.
    private const long MostEntries = (32 << 20) / sizeof(ulong);

    private const ulong IsDirty = 1, IsCorrupt = 2, HasExternalData = 4, HasCompressionType = 8, HasExtendedEntries = 16;

    /// <summary>2 or 3.</summary>
    public required uint Version { get; init; }

    /// <summary>Bytes of a cluster, as a shift.</summary>
    public required int ClusterBits { get; init; }

    /// <summary>Bytes of the disk.</summary>
    public required long DiskLength { get; init; }

    /// <summary>Where the L1 table is, within the file.</summary>
    public required long TableOffset { get; init; }

    /// <summary>Entries of the L1 table that the disk needs.</summary>
    public required int TableEntries { get; init; }

    public required Qcow2Compression Compression { get; init; }

    /// <summary>Whether a file begins like a qcow2 image.</summary>
    public static bool IsAtStartOf(DiskFile file)
    {
        Span<byte> start = stackalloc byte[ReadSize];
        file.Read(start, 0);
        return start.StartsWith((ReadOnlySpan<byte>)[(byte)'Q', (byte)'F', (byte)'I', 0xfb]);
    }

    /// <summary>Reads and checks the header of a file that begins like a qcow2 image.</summary>
    /// <exception cref="IOException">It is damaged or needs what is not supported; the message is one line for the user.</exception>
    public static Qcow2Header Read(DiskFile file)
    {
        Span<byte> header = stackalloc byte[ReadSize];
        file.Read(header, 0);
        uint version = BinaryPrimitives.ReadUInt32BigEndian(header[4..]);
        if (version is not (2 or 3))
        {
            throw NotSupported(file, $"is of version {version}");
        }

        if (BinaryPrimitives.ReadUInt64BigEndian(header[8..]) != 0)
        {
            // Its name is in the image, so whoever made the image would choose which file of this host is read.
            throw NotSupported(file, "is only the difference to a backing file, which is not opened");
        }

        if (BinaryPrimitives.ReadUInt32BigEndian(header[32..]) != 0)
        {
            throw NotSupported(file, "is encrypted");
        }

        Qcow2Compression compression = version >= 3 ? ReadFeatures(file, header) : Qcow2Compression.Deflate;
        uint clusterBits = BinaryPrimitives.ReadUInt32BigEndian(header[20..]);
        if (clusterBits is < LeastClusterBits or > MostClusterBits)
        {
            throw Damaged(file, $"clusters of 2^{clusterBits} bytes");
        }

        ulong size = BinaryPrimitives.ReadUInt64BigEndian(header[24..]);
        if (size is < Disk.SectorSize or > Disk.MaxLength)
        {
            throw Damaged(file, $"a disk of {size} bytes");
        }

        // An entry of the L1 table stands for a cluster full of L2 entries.
        int bitsPerEntry = (int)clusterBits + (int)clusterBits - 3;
        long entries = ((long)size + (1L << bitsPerEntry) - 1) >> bitsPerEntry;
        uint stated = BinaryPrimitives.ReadUInt32BigEndian(header[36..]);
        ulong offset = BinaryPrimitives.ReadUInt64BigEndian(header[40..]);
        if (entries > stated || entries > MostEntries)
        {
            throw Damaged(file, $"an L1 table of {stated} entries for a disk of {size} bytes");
        }

        if (offset == 0 || offset % (1ul << (int)clusterBits) != 0 || offset > (ulong)file.Length || (ulong)file.Length - offset < (ulong)entries * sizeof(ulong))
        {
            throw Damaged(file, $"an L1 table at {offset}");
        }

        return new Qcow2Header
        {
            Version = version,
            ClusterBits = (int)clusterBits,
            DiskLength = (long)size / Disk.SectorSize * Disk.SectorSize,
            TableOffset = (long)offset,
            TableEntries = (int)entries,
            Compression = compression,
        };
    }

    /// <summary>What is wrong in an image.</summary>
    /// <param name="file">The image.</param>
    /// <param name="what">What it has that cannot be.</param>
    public static IOException Damaged(DiskFile file, string what) => new($"the qcow2 image {file.Path} is damaged: it has {what}");

    private static IOException NotSupported(DiskFile file, string reason) =>
        new($"the qcow2 image {file.Path} {reason}; make one that needs nothing else with: qemu-img convert -O qcow2");

    private static Qcow2Compression ReadFeatures(DiskFile file, ReadOnlySpan<byte> header)
    {
        ulong features = BinaryPrimitives.ReadUInt64BigEndian(header[72..]);
        if ((features & IsCorrupt) != 0)
        {
            throw new IOException($"the qcow2 image {file.Path} is marked as corrupt; see: qemu-img check");
        }

        if ((features & HasExternalData) != 0)
        {
            throw NotSupported(file, "has its data in another file, which is not opened");
        }

        if ((features & HasExtendedEntries) != 0)
        {
            throw NotSupported(file, "has extended L2 entries");
        }

        if ((features & ~(IsDirty | HasCompressionType)) != 0)
        {
            throw NotSupported(file, $"has unknown features ({features:x})");
        }

        uint length = BinaryPrimitives.ReadUInt32BigEndian(header[100..]);
        if (length < LeastLengthOfVersion3)
        {
            throw Damaged(file, $"a header of {length} bytes");
        }

        byte compression = length > LeastLengthOfVersion3 ? header[104] : (byte)0;
        return (features & HasCompressionType) == 0 ? Qcow2Compression.Deflate
            : compression <= (byte)Qcow2Compression.Zstd ? (Qcow2Compression)compression
            : throw NotSupported(file, $"has clusters packed by method {compression}");
    }
}
