using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>
/// The header of an overlay. It is kept twice and written one copy after the other, each with a number that grows and a checksum, so that
/// one of them is always whole.
/// </summary>
/// <code>
/// 0   "CoLxOvl1"           40  u8[16] zero
/// 8   u32 version, 1       56  i64 bytes of the base
/// 12  u32 flags, 1: being  64  i64 time of the base's last change, 100 ns since 0001 UTC, 0 for a device
///     committed            72  u128 fingerprint of the base, XXH128 of samples
/// 16  u64 sequence         88  u16 length of the base's path, UTF-8, which follows
/// 24  i64 bytes of the disk    (relative to the overlay's folder if it lies there)
/// 32  u32 cluster, 4096    4088  u64 XXH3 of bytes 0 to 4087
/// 36  u32 clusters of a region, 32768
/// </code>
internal sealed record OverlayHeader
{
    /// <summary>Bytes of a copy.</summary>
    public const int Size = 4096;

    private const int ChecksumOffset = Size - sizeof(ulong);
    private const int PathOffset = 90;
    private const uint CurrentVersion = 1;
    private const uint CommittingFlag = 1;

    /// <summary>The first bytes.</summary>
    public static ReadOnlySpan<byte> Magic => "CoLxOvl1"u8;

    /// <summary>Grows with every change.</summary>
    public ulong Sequence { get; private init; }

    /// <summary>Bytes of the disk.</summary>
    public required long DiskLength { get; init; }

    /// <summary>Whether its content is being written into the base, which may therefore have changed.</summary>
    public bool IsCommitting { get; init; }

    /// <summary>The base as it must be.</summary>
    public required BaseIdentity Base { get; init; }

    /// <summary>Where the base was when the overlay was made.</summary>
    public required string BasePath { get; init; }

    /// <summary>Reads the header that was written last.</summary>
    /// <exception cref="IOException">There is none; the message is one line for the user.</exception>
    public static OverlayHeader Read(DiskFile file)
    {
        OverlayHeader? newest = null;
        byte[] copy = new byte[Size];
        string defect = "is no overlay";
        for (int i = 0; i < OverlayLayout.HeaderCopies; i++)
        {
            file.Read(copy, i * Size);
            if (!copy.AsSpan().StartsWith(Magic))
            {
                continue;
            }

            OverlayHeader? header = Parse(copy, ref defect);
            if (header is not null && (newest is null || header.Sequence > newest.Sequence))
            {
                newest = header;
            }
        }

        return newest ?? throw new IOException($"{file.Path} {defect}");
    }

    /// <summary>Writes both copies, durably, one after the other.</summary>
    /// <returns>What is in the file now.</returns>
    public OverlayHeader Write(DiskFile file)
    {
        OverlayHeader next = this with { Sequence = Sequence + 1 };
        byte[] copy = next.Format();
        for (int i = 0; i < OverlayLayout.HeaderCopies; i++)
        {
            // First the copy that is not the newest, should the last write have been cut off between them.
            long offset = (long)((next.Sequence + (ulong)i) % OverlayLayout.HeaderCopies) * Size;
            file.Write(copy, offset);
            file.Flush();
        }

        return next;
    }

    private static OverlayHeader? Parse(ReadOnlySpan<byte> copy, ref string defect)
    {
        if (XxHash3.HashToUInt64(copy[..ChecksumOffset]) != BinaryPrimitives.ReadUInt64LittleEndian(copy[ChecksumOffset..]))
        {
            defect = "is an overlay with a damaged header";
            return null;
        }

        uint version = BinaryPrimitives.ReadUInt32LittleEndian(copy[8..]);
        long length = BinaryPrimitives.ReadInt64LittleEndian(copy[24..]);
        uint cluster = BinaryPrimitives.ReadUInt32LittleEndian(copy[32..]);
        uint region = BinaryPrimitives.ReadUInt32LittleEndian(copy[36..]);
        int pathLength = BinaryPrimitives.ReadUInt16LittleEndian(copy[88..]);
        long baseTime = BinaryPrimitives.ReadInt64LittleEndian(copy[64..]);
        if (version != CurrentVersion || cluster != OverlayLayout.ClusterSize || region != OverlayLayout.RegionClusters)
        {
            defect = "is an overlay of another version of colinux";
            return null;
        }

        if (length is <= 0 or > Disk.MaxLength || length % Disk.SectorSize != 0 || PathOffset + pathLength > ChecksumOffset
            || baseTime < 0 || baseTime > DateTime.MaxValue.Ticks)
        {
            defect = "is an overlay with an impossible header";
            return null;
        }

        return new OverlayHeader
        {
            IsCommitting = (BinaryPrimitives.ReadUInt32LittleEndian(copy[12..]) & CommittingFlag) != 0,
            Sequence = BinaryPrimitives.ReadUInt64LittleEndian(copy[16..]),
            DiskLength = length,
            Base = new BaseIdentity(
                BinaryPrimitives.ReadInt64LittleEndian(copy[56..]),
                new DateTime(baseTime, DateTimeKind.Utc),
                BinaryPrimitives.ReadUInt128LittleEndian(copy[72..])),
            BasePath = Encoding.UTF8.GetString(copy.Slice(PathOffset, pathLength)),
        };
    }

    private byte[] Format()
    {
        byte[] copy = new byte[Size];
        Magic.CopyTo(copy);
        byte[] path = Encoding.UTF8.GetBytes(BasePath);
        if (path.Length > ChecksumOffset - PathOffset)
        {
            throw new IOException($"the path of the base is too long: {BasePath}");
        }

        BinaryPrimitives.WriteUInt32LittleEndian(copy.AsSpan(8), CurrentVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(copy.AsSpan(12), IsCommitting ? CommittingFlag : 0);
        BinaryPrimitives.WriteUInt64LittleEndian(copy.AsSpan(16), Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(copy.AsSpan(24), DiskLength);
        BinaryPrimitives.WriteUInt32LittleEndian(copy.AsSpan(32), OverlayLayout.ClusterSize);
        BinaryPrimitives.WriteUInt32LittleEndian(copy.AsSpan(36), OverlayLayout.RegionClusters);
        BinaryPrimitives.WriteInt64LittleEndian(copy.AsSpan(56), Base.Length);
        BinaryPrimitives.WriteInt64LittleEndian(copy.AsSpan(64), Base.LastWriteTimeUtc.Ticks);
        BinaryPrimitives.WriteUInt128LittleEndian(copy.AsSpan(72), Base.Fingerprint);
        BinaryPrimitives.WriteUInt16LittleEndian(copy.AsSpan(88), (ushort)path.Length);
        path.CopyTo(copy, PathOffset);
        BinaryPrimitives.WriteUInt64LittleEndian(copy.AsSpan(ChecksumOffset), XxHash3.HashToUInt64(copy.AsSpan(0, ChecksumOffset)));
        return copy;
    }
}
