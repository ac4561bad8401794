using System.Runtime.CompilerServices;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Grants;

/// <summary>
/// The version 1 grant table of one domain: which of its frames the host's backends may use. An entry is 8 bytes:
/// u16 flags, u16 domain, u32 frame; the guest writes the flags last. Any thread.
/// </summary>
/// <remarks>The being-read and being-written bits are never set: backends only use a grant between a request and its
/// response, and the guest revokes no earlier. A guest that does harms nothing but its own memory.</remarks>
public sealed class GrantTable
{
    /// <summary>Frames a table may have.</summary>
    public const int MaxFrames = 64;

    /// <summary>Entries in a frame.</summary>
    public const int EntriesPerFrame = GuestMemory.PageSize / EntrySize;

    /// <summary>GNTST_okay.</summary>
    public const short StatusOkay = 0;

    /// <summary>GNTST_general_error.</summary>
    public const short StatusGeneralError = -1;

    private const int EntrySize = 8;
    private const int DomainShift = 16;
    private const int FrameShift = 32;
    private const uint TypeMask = 3, PermitAccess = 1, ReadOnly = 4;
    private const uint HostDomain = 0;

    private readonly GuestMemory _memory;
    private readonly ulong _firstFrame;
    private readonly Lock _gate = new();

    // The first entry of each frame that there is.
    private readonly GuestReference<ulong>[] _entries = new GuestReference<ulong>[MaxFrames];
    private volatile int _frameCount;

    /// <param name="memory">Guest memory; the table's frames are added to it as the guest asks for them.</param>
    /// <param name="firstFrame">Frame number of the first; the next <see cref="MaxFrames"/> − 1 follow it.</param>
    public GrantTable(GuestMemory memory, ulong firstFrame = SpecialFrames.GrantTable)
    {
        _memory = memory;
        _firstFrame = firstFrame;
    }

    /// <summary>Guest memory.</summary>
    public GuestMemory Memory => _memory;

    /// <summary>Frames set up so far.</summary>
    public int FrameCount => _frameCount;

    /// <summary>GNTTABOP_setup_table: grows the table to at least <paramref name="count"/> frames and tells the first
    /// <paramref name="count"/> frame numbers. Frames given before keep their numbers and content.</summary>
    /// <param name="count">Frames, at most <see cref="MaxFrames"/>.</param>
    /// <param name="frames">Receives the frame numbers; at least <paramref name="count"/> long when the count is valid.</param>
    /// <returns>The status field: <see cref="StatusOkay"/> or <see cref="StatusGeneralError"/> (too many).</returns>
    public short SetupTable(uint count, Span<ulong> frames)
    {
        if (count > MaxFrames || frames.Length < count)
        {
            return StatusGeneralError;
        }

        lock (_gate)
        {
            for (int index = _frameCount; index < count; index++)
            {
                Span<byte> page = _memory.Frame(_firstFrame + (ulong)index);
                if (page.IsEmpty)
                {
                    _memory.AddSpecialFrame(_firstFrame + (ulong)index);
                }
                else
                {
                    page.Clear();
                }

                _memory.TryGetReference((_firstFrame + (ulong)index) * GuestMemory.PageSize, out _entries[index]);
                _frameCount = index + 1;
            }
        }

        for (int index = 0; index < count; index++)
        {
            frames[index] = _firstFrame + (ulong)index;
        }

        return StatusOkay;
    }

    /// <summary>GNTTABOP_query_size.</summary>
    /// <returns>The status field, <see cref="StatusOkay"/>.</returns>
    public short QuerySize(out uint frames, out uint maxFrames)
    {
        frames = (uint)_frameCount;
        maxFrames = MaxFrames;
        return StatusOkay;
    }

    /// <summary>GNTTABOP_set_version: only version 1 exists.</summary>
    /// <returns>0 or −EINVAL.</returns>
    public int SetVersion(uint version) => version == 1 ? 0 : -XenError.EINVAL;

    /// <summary>GNTTABOP_get_version.</summary>
    public uint Version => 1;

    /// <summary>Forgets the table's content and size, for a restart of the domain.</summary>
    public void Reset()
    {
        lock (_gate)
        {
            _frameCount = 0;
        }
    }

    /// <summary>Looks a grant up.</summary>
    /// <param name="reference">Grant reference; any value.</param>
    /// <param name="write">Whether the frame will be written.</param>
    /// <param name="frame">Frame of RAM, checked to exist.</param>
    /// <returns>Whether the guest grants the host that access.</returns>
    public bool TryMap(uint reference, bool write, out ulong frame)
    {
        frame = 0;
        if (reference >= (uint)(_frameCount * EntriesPerFrame))
        {
            return false;
        }

        // One read for all: the guest publishes the flags last.
        ref ulong first = ref _entries[reference / EntriesPerFrame].Value;
        ulong entry = Volatile.Read(ref Unsafe.Add(ref first, reference % EntriesPerFrame));
        uint word = (uint)entry;
        bool isGranted = (word & TypeMask) == PermitAccess && word >> DomainShift == HostDomain && !(write && (word & ReadOnly) != 0);
        if (!isGranted)
        {
            return false;
        }

        frame = entry >> FrameShift;
        return frame < _memory.FrameCount;
    }

    /// <summary>Copies out of a granted frame; false (and nothing copied) if not granted or not within the frame.</summary>
    public bool TryRead(uint reference, int offset, Span<byte> destination) =>
        IsWithinFrame(offset, destination.Length)
        && TryMap(reference, write: false, out ulong frame)
        && _memory.TryRead((frame * GuestMemory.PageSize) + (ulong)offset, destination);

    /// <summary>Copies into a granted frame; false (and nothing copied) if not granted for writing or not within the frame.</summary>
    public bool TryWrite(uint reference, int offset, ReadOnlySpan<byte> source) =>
        IsWithinFrame(offset, source.Length)
        && TryMap(reference, write: true, out ulong frame)
        && _memory.TryWrite((frame * GuestMemory.PageSize) + (ulong)offset, source);

    /// <summary>Maps granted frames, in order, as one run of bytes: a shared ring.</summary>
    /// <param name="references">Grant references, at least one.</param>
    /// <param name="pages">The mapping; valid as long as guest memory is.</param>
    /// <returns>Whether each is granted for writing.</returns>
    public bool TryMapPages(ReadOnlySpan<uint> references, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out GuestPages? pages)
    {
        pages = null;
        if (references.IsEmpty)
        {
            return false;
        }

        ulong[] frames = new ulong[references.Length];
        for (int index = 0; index < references.Length; index++)
        {
            if (!TryMap(references[index], write: true, out frames[index]))
            {
                return false;
            }
        }

        return GuestPages.TryCreate(_memory, frames, out pages);
    }

    private static bool IsWithinFrame(int offset, int length) => offset >= 0 && offset <= GuestMemory.PageSize - length;
}
