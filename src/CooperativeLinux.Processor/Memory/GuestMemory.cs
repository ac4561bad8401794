using System.Runtime.CompilerServices;
using CooperativeLinux.Host;
using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Processor.Memory;

/// <summary>
/// The memory one machine owns: linear RAM from guest-physical address 0 and single special frames
/// (shared_info, grant tables) at frame numbers beyond RAM. It is the only way monitor and devices reach guest
/// memory; every access is bounds-checked, and every write tells the processors, which may hold code
/// translated from that frame.
/// </summary>
public sealed unsafe class GuestMemory : IDisposable
{
    /// <summary>Bytes in a frame.</summary>
    public const int PageSize = 4096;

    private readonly HostAllocation _ram;
    private readonly Dictionary<ulong, nint> _special = [];
    private readonly List<HostAllocation> _specialFrames = [];
    private readonly byte* _base;

    /// <summary>Allocates zero-filled RAM; host memory is only used for frames that are touched.</summary>
    /// <param name="size">Bytes of RAM, a multiple of 4096.</param>
    /// <exception cref="ArgumentOutOfRangeException">The size is zero or no multiple of 4096.</exception>
    /// <exception cref="OutOfMemoryException">The host gives no such amount of address space.</exception>
    public GuestMemory(ulong size)
    {
        ArgumentOutOfRangeException.ThrowIfZero(size);
        if (size % PageSize != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(size), "The RAM size is no multiple of 4096.");
        }

        Size = size;
        _ram = HostAllocation.AllocateSparse(size, largePages: true);
        _base = _ram.Pointer;
        CodeFrames = new byte[size / PageSize];
    }

    /// <summary>Bytes of RAM.</summary>
    public ulong Size { get; }

    /// <summary>Frames of RAM.</summary>
    public ulong FrameCount => Size / PageSize;

    /// <summary>Called before guest memory that holds translated code is written by somebody else than the
    /// guest: frame, first byte, byte count. May be called on any thread.</summary>
    public event Action<ulong, int, int>? CodeWritten;

    /// <summary>One byte per frame of RAM; non-zero: translated code was made from the frame.</summary>
    internal byte[] CodeFrames { get; }

    /// <summary>Host address of guest-physical 0. Only the processor may use it.</summary>
    internal byte* RamBase => _base;

    /// <summary>Adds a zero-filled frame outside RAM.</summary>
    /// <param name="frame">Frame number, at or above <see cref="FrameCount"/>.</param>
    public void AddSpecialFrame(ulong frame)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(frame, FrameCount);
        HostAllocation page = HostAllocation.AllocateSparse(PageSize);
        lock (_special)
        {
            _special.Add(frame, (nint)page.Pointer);
            _specialFrames.Add(page);
        }
    }

    /// <summary>The bytes of one frame, or an empty span where there is no such frame. For rings and tables that
    /// are shared with the guest; who writes code-bearing RAM must use <see cref="TryWrite(ulong, ReadOnlySpan{byte})"/>.</summary>
    public Span<byte> Frame(ulong frame)
    {
        byte* page = FramePointer(frame);
        return page == null ? default : new Span<byte>(page, PageSize);
    }

    /// <summary>A reference into guest memory for atomic operations on shared words.</summary>
    /// <returns>Whether the value lies wholly in one existing frame.</returns>
    public bool TryGetReference<T>(ulong address, out GuestReference<T> reference) where T : unmanaged
    {
        byte* page = FramePointer(address / PageSize);
        ulong offset = address % PageSize;
        if (page == null || offset + (ulong)sizeof(T) > PageSize)
        {
            reference = default;
            return false;
        }

        reference = new GuestReference<T>((T*)(page + offset));
        return true;
    }

    /// <summary>Reads guest-physical memory; false (and nothing read) if a byte is outside.</summary>
    public bool TryRead(ulong address, Span<byte> destination)
    {
        if (address < Size && (ulong)destination.Length <= Size - address)
        {
            new ReadOnlySpan<byte>(_base + address, destination.Length).CopyTo(destination);
            return true;
        }

        byte* page = FramePointer(address / PageSize);
        ulong offset = address % PageSize;
        if (page == null || offset + (ulong)destination.Length > PageSize)
        {
            return false;
        }

        new ReadOnlySpan<byte>(page + offset, destination.Length).CopyTo(destination);
        return true;
    }

    /// <summary>Reads a value; false if a byte is outside.</summary>
    public bool TryRead<T>(ulong address, out T value) where T : unmanaged
    {
        value = default;
        return TryRead(address, new Span<byte>(Unsafe.AsPointer(ref value), sizeof(T)));
    }

    /// <summary>Writes guest-physical memory and invalidates code translated from it; false (and nothing
    /// written) if a byte is outside.</summary>
    public bool TryWrite(ulong address, ReadOnlySpan<byte> source)
    {
        if (address < Size && (ulong)source.Length <= Size - address)
        {
            NotifyWrite(address, source.Length);
            source.CopyTo(new Span<byte>(_base + address, source.Length));
            return true;
        }

        byte* page = FramePointer(address / PageSize);
        ulong offset = address % PageSize;
        if (page == null || offset + (ulong)source.Length > PageSize)
        {
            return false;
        }

        source.CopyTo(new Span<byte>(page + offset, source.Length));
        return true;
    }

    /// <summary>Writes a value; false if a byte is outside.</summary>
    public bool TryWrite<T>(ulong address, T value) where T : unmanaged =>
        TryWrite(address, new ReadOnlySpan<byte>(&value, sizeof(T)));

    /// <summary>A writable span of RAM for bulk transfers by a device; invalidates code translated from it. Empty
    /// if a byte is outside RAM.</summary>
    public Span<byte> WritableRange(ulong address, int length)
    {
        if (address >= Size || (ulong)length > Size - address)
        {
            return default;
        }

        NotifyWrite(address, length);
        return new Span<byte>(_base + address, length);
    }

    /// <summary>Gives frames of RAM back to the host: they read zero from now on, and take host memory again when they are touched.</summary>
    /// <param name="firstFrame">The first frame.</param>
    /// <param name="count">How many; frames outside RAM are an error of the caller.</param>
    /// <exception cref="HostCallException">The host refuses.</exception>
    public void Discard(ulong firstFrame, ulong count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstFrame, FrameCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, FrameCount - firstFrame);
        for (ulong frame = firstFrame; frame < firstFrame + count; frame++)
        {
            NotifyWrite(frame * PageSize, PageSize);
        }

        _ram.Discard(firstFrame * PageSize, count * PageSize);
    }

    /// <summary>Bytes of host memory that RAM takes at present; a look at every page.</summary>
    public ulong ResidentBytes() => _ram.ResidentBytes();

    /// <summary>Host address of a frame, null where there is none. Only the processor may use it.</summary>
    internal byte* FramePointer(ulong frame)
    {
        if (frame < FrameCount)
        {
            return _base + (frame * PageSize);
        }

        lock (_special)
        {
            return _special.TryGetValue(frame, out nint page) ? (byte*)page : null;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ram.Dispose();
        foreach (HostAllocation page in _specialFrames)
        {
            page.Dispose();
        }
    }

    private void NotifyWrite(ulong address, int length)
    {
        ulong end = address + (ulong)length;
        for (ulong frame = address / PageSize; frame * PageSize < end; frame++)
        {
            if (CodeFrames[frame] != 0)
            {
                ulong start = Math.Max(address, frame * PageSize);
                ulong stop = Math.Min(end, (frame + 1) * PageSize);
                CodeWritten?.Invoke(frame, (int)(start % PageSize), (int)(stop - start));
            }
        }
    }
}

/// <summary>A checked reference to a value in guest memory that guest and host change concurrently.</summary>
public readonly unsafe struct GuestReference<T> where T : unmanaged
{
    private readonly T* _pointer;

    internal GuestReference(T* pointer) => _pointer = pointer;

    /// <summary>The value in place; use <see cref="Volatile"/> and <see cref="Interlocked"/> on it.</summary>
    public ref T Value => ref *_pointer;
}
