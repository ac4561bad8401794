using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Host.Disks;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Devices.Block;

/// <summary>What a request asks for (xen: io/blkif.h, BLKIF_OP_*).</summary>
internal enum BlockOperation : byte
{
    Read = 0,
    Write = 1,
    WriteBarrier = 2,
    Flush = 3,
    Discard = 5,
    Indirect = 6,
}

/// <summary>How a request ended (BLKIF_RSP_*).</summary>
internal enum BlockStatus : short
{
    Okay = 0,
    Error = -1,
    Unsupported = -2,
}

/// <summary>
/// One request, copied out of the ring and checked, with the guest memory it moves. Layouts of struct blkif_request and its variants for
/// x86-64: u8 operation, u8 segments, u16 handle, u64 id at 8, u64 sector at 16, 11 segments of 8 bytes at 24 (u32 grant, u8 first and last
/// sector); discard: u8 flags at 1, u64 sectors at 24; indirect: u8 operation at 1, u16 segments at 2, u16 handle at 24, 8 grants at 28
/// of pages full of segments. Reused: one per thread.
/// </summary>
internal sealed unsafe class BlockRequest(GrantTable grants)
{
    /// <summary>Bytes of a slot in the ring.</summary>
    public const int SlotSize = 112;

    /// <summary>Bytes of a response: u64 id, u8 operation, s16 status at 10.</summary>
    public const int ResponseSize = 16;

    /// <summary>Bytes at the start of a slot from which <see cref="MaxLength"/> can be told.</summary>
    public const int HeadSize = 4;

    /// <summary>Segments of an indirect request that are allowed; a page each at most.</summary>
    public const int MaxIndirectSegments = 256;

    private const int MaxDirectSegments = 11;
    private const int SegmentSize = 8;
    private const int SegmentsPerPage = GuestMemory.PageSize / SegmentSize;
    private const int SegmentsOffset = 24, IndirectGrantsOffset = 28;
    private const int SectorsPerPage = GuestMemory.PageSize / Disk.SectorSize;

    private readonly GuestMemory _memory = grants.Memory;
    private readonly byte[] _slot = new byte[SlotSize];
    private readonly byte[] _segmentPage = new byte[GuestMemory.PageSize];
    private readonly IoBuffer[] _buffers = new IoBuffer[MaxIndirectSegments];
    private readonly ulong[] _addresses = new ulong[MaxIndirectSegments];
    private int _bufferCount;

    /// <summary>Where the ring puts the request.</summary>
    public Span<byte> Slot => _slot;

    /// <summary>The guest's number for it; any value.</summary>
    public ulong Id { get; private set; }

    /// <summary>What to do; for an indirect request what it stands for. Any value if it is not valid.</summary>
    public BlockOperation Operation { get; private set; }

    /// <summary>Why it cannot be carried out, or null.</summary>
    public string? Defect { get; private set; }

    /// <summary>How it ends if there is a <see cref="Defect"/>.</summary>
    public BlockStatus DefectStatus { get; private set; }

    /// <summary>First byte on the disk.</summary>
    public long Offset { get; private set; }

    /// <summary>Bytes.</summary>
    public long Length { get; private set; }

    /// <summary>The guest memory to move.</summary>
    public ReadOnlySpan<IoBuffer> Buffers => _buffers.AsSpan(0, _bufferCount);

    /// <summary>Bytes that a read or write moves at most, by the guest's word.</summary>
    /// <param name="head"><see cref="HeadSize"/> bytes of its slot.</param>
    public static int MaxLength(ReadOnlySpan<byte> head) =>
        (head[0] == (byte)BlockOperation.Indirect ? IndirectSegments(head) : head[1]) * GuestMemory.PageSize;

    /// <summary>Checks what is in <see cref="Slot"/> and finds the guest memory. Whatever the guest wrote, all that the properties
    /// describe exists then, or there is a <see cref="Defect"/>.</summary>
    /// <param name="diskLength">Bytes of the disk.</param>
    public void Parse(long diskLength)
    {
        ReadOnlySpan<byte> slot = _slot;
        _bufferCount = 0;
        Length = 0;
        Offset = 0;
        DefectStatus = BlockStatus.Error;
        Operation = (BlockOperation)slot[0];
        Id = BinaryPrimitives.ReadUInt64LittleEndian(slot[8..]);
        Defect = Operation switch
        {
            BlockOperation.Read or BlockOperation.Write or BlockOperation.WriteBarrier => AddDirect(),
            BlockOperation.Indirect => AddIndirect(),
            BlockOperation.Flush => null,
            BlockOperation.Discard => AddDiscard(),
            _ => Unsupported($"there is no operation {slot[0]}"),
        };
        Defect ??= Operation == BlockOperation.Flush ? null : CheckRange(diskLength);
    }

    /// <summary>Tells the processors about what a read has put into guest memory.</summary>
    public void AnnounceWrites()
    {
        // Code may have been translated from the old content while the host was writing.
        for (int i = 0; i < _bufferCount; i++)
        {
            _ = _memory.WritableRange(_addresses[i], _buffers[i].Length);
        }
    }

    /// <summary>Writes the response.</summary>
    /// <param name="response"><see cref="ResponseSize"/> bytes.</param>
    /// <param name="status">How it ended.</param>
    public void WriteResponse(Span<byte> response, BlockStatus status)
    {
        response.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(response, Id);
        response[8] = (byte)Operation;
        BinaryPrimitives.WriteInt16LittleEndian(response[10..], (short)status);
    }

    private static int IndirectSegments(ReadOnlySpan<byte> slot) => BinaryPrimitives.ReadUInt16LittleEndian(slot[2..]);

    private string Unsupported(string defect)
    {
        DefectStatus = BlockStatus.Unsupported;
        return defect;
    }

    private string? AddDirect()
    {
        int count = _slot[1];
        return count > MaxDirectSegments
            ? $"{count} segments"
            : AddSegments(_slot.AsSpan(SegmentsOffset, count * SegmentSize));
    }

    private string? AddIndirect()
    {
        ReadOnlySpan<byte> slot = _slot;
        Operation = (BlockOperation)slot[1];
        if (Operation is not (BlockOperation.Read or BlockOperation.Write))
        {
            return $"there is no indirect operation {slot[1]}";
        }

        int count = IndirectSegments(slot);
        if (count > MaxIndirectSegments)
        {
            return $"{count} indirect segments";
        }

        for (int first = 0; first < count; first += SegmentsPerPage)
        {
            uint grant = BinaryPrimitives.ReadUInt32LittleEndian(slot[(IndirectGrantsOffset + (first / SegmentsPerPage * sizeof(uint)))..]);
            Span<byte> segments = _segmentPage.AsSpan(0, Math.Min(count - first, SegmentsPerPage) * SegmentSize);
            if (!grants.TryRead(grant, 0, segments))
            {
                return $"the page {grant} of indirect segments is not granted";
            }

            if (AddSegments(segments) is string defect)
            {
                return defect;
            }
        }

        return null;
    }

    private string? AddDiscard()
    {
        ulong sectors = BinaryPrimitives.ReadUInt64LittleEndian(_slot.AsSpan(24));
        if ((_slot[1] & 1) != 0)
        {
            return Unsupported("a secure discard");
        }

        if (sectors > long.MaxValue >> Disk.SectorShift)
        {
            return "a discard beyond the disk's end";
        }

        Length = (long)sectors << Disk.SectorShift;
        return null;
    }

    private string? CheckRange(long diskLength)
    {
        ulong sector = BinaryPrimitives.ReadUInt64LittleEndian(_slot.AsSpan(16));
        if (sector > (ulong)diskLength >> Disk.SectorShift || Length > diskLength - ((long)sector << Disk.SectorShift))
        {
            return $"sector {sector} with {Length} bytes is beyond the disk's end";
        }

        Offset = (long)sector << Disk.SectorShift;
        return null;
    }

    private string? AddSegments(ReadOnlySpan<byte> segments)
    {
        bool toGuest = Operation == BlockOperation.Read;
        for (; !segments.IsEmpty; segments = segments[SegmentSize..])
        {
            uint grant = BinaryPrimitives.ReadUInt32LittleEndian(segments);
            int first = segments[4];
            int last = segments[5];
            if (first > last || last >= SectorsPerPage)
            {
                return $"a segment of sectors {first} to {last}";
            }

            if (!grants.TryMap(grant, toGuest, out ulong frame))
            {
                return $"the page {grant} is not granted";
            }

            Add((frame * GuestMemory.PageSize) + (ulong)(first * Disk.SectorSize), (last - first + 1) * Disk.SectorSize, toGuest);
        }

        return null;
    }

    private void Add(ulong address, int length, bool toGuest)
    {
        // Within one frame of RAM: never empty. Writing announces itself to the processors.
        Span<byte> memory = toGuest
            ? _memory.WritableRange(address, length)
            : _memory.Frame(address / GuestMemory.PageSize).Slice((int)(address % GuestMemory.PageSize), length);

        // SAFETY: guest RAM is not the collector's and stays mapped until the device's threads have ended.
        byte* start = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(memory));
        Length += length;
        if (_bufferCount > 0)
        {
            IoBuffer previous = _buffers[_bufferCount - 1];
            if (_addresses[_bufferCount - 1] + (ulong)previous.Length == address)
            {
                _buffers[_bufferCount - 1] = new IoBuffer(previous.Start, previous.Length + length);
                return;
            }
        }

        _addresses[_bufferCount] = address;
        _buffers[_bufferCount++] = new IoBuffer(start, length);
    }
}
