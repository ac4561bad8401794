using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Grants;

/// <summary>
/// Some frames of guest memory as one run of bytes: a ring that guest and host share. Offsets are checked; the content
/// may change at any time, so whatever is to be validated is copied first.
/// </summary>
public sealed class GuestPages
{
    private readonly GuestMemory _memory;
    private readonly ulong[] _frames;

    private GuestPages(GuestMemory memory, ulong[] frames)
    {
        _memory = memory;
        _frames = frames;
    }

    /// <summary>Bytes.</summary>
    public int Length => _frames.Length * GuestMemory.PageSize;

    /// <summary>Takes frames of RAM or special frames; false if one does not exist.</summary>
    public static bool TryCreate(GuestMemory memory, ReadOnlySpan<ulong> frames, [NotNullWhen(true)] out GuestPages? pages)
    {
        pages = null;
        foreach (ulong frame in frames)
        {
            if (memory.Frame(frame).IsEmpty)
            {
                return false;
            }
        }

        pages = new GuestPages(memory, frames.ToArray());
        return true;
    }

    /// <summary>A shared value in place, for atomic access.</summary>
    /// <param name="offset">Bytes from the start, a multiple of the value's size.</param>
    /// <exception cref="ArgumentOutOfRangeException">The value is not within one page.</exception>
    public ref T At<T>(int offset) where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - Unsafe.SizeOf<T>());
        ulong address = (_frames[offset / GuestMemory.PageSize] * GuestMemory.PageSize) + (ulong)(offset % GuestMemory.PageSize);
        if (!_memory.TryGetReference(address, out GuestReference<T> reference))
        {
            throw new ArgumentOutOfRangeException(nameof(offset), offset, "The value crosses a page.");
        }

        return ref reference.Value;
    }

    /// <summary>Reads an index or flag the guest publishes: what was written before it is visible after.</summary>
    public uint ReadIndex(int offset) => Volatile.Read(ref At<uint>(offset));

    /// <summary>Publishes an index or flag: what was written before is visible with it.</summary>
    public void WriteIndex(int offset, uint value) => Volatile.Write(ref At<uint>(offset), value);

    /// <summary>Copies out.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not within the pages.</exception>
    public void CopyTo(int offset, Span<byte> destination)
    {
        CheckRange(offset, destination.Length);
        while (!destination.IsEmpty)
        {
            Span<byte> part = PageRest(offset, destination.Length);
            part.CopyTo(destination);
            destination = destination[part.Length..];
            offset += part.Length;
        }
    }

    /// <summary>Copies in.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not within the pages.</exception>
    public void CopyFrom(int offset, ReadOnlySpan<byte> source)
    {
        CheckRange(offset, source.Length);
        while (!source.IsEmpty)
        {
            Span<byte> part = PageRest(offset, source.Length);
            source[..part.Length].CopyTo(part);
            source = source[part.Length..];
            offset += part.Length;
        }
    }

    /// <summary>Copies out of a byte ring that wraps.</summary>
    /// <param name="ringOffset">Where the ring starts in the pages.</param>
    /// <param name="ringSize">Bytes of the ring, a power of two.</param>
    /// <param name="index">Free-running index of the first byte.</param>
    /// <param name="destination">At most <paramref name="ringSize"/> bytes.</param>
    public void CopyFromRing(int ringOffset, int ringSize, uint index, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, ringSize);
        int start = (int)(index & (uint)(ringSize - 1));
        int first = Math.Min(destination.Length, ringSize - start);
        CopyTo(ringOffset + start, destination[..first]);
        CopyTo(ringOffset, destination[first..]);
    }

    /// <summary>Copies into a byte ring that wraps; see <see cref="CopyFromRing"/>.</summary>
    public void CopyToRing(int ringOffset, int ringSize, uint index, ReadOnlySpan<byte> source)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(source.Length, ringSize);
        int start = (int)(index & (uint)(ringSize - 1));
        int first = Math.Min(source.Length, ringSize - start);
        CopyFrom(ringOffset + start, source[..first]);
        CopyFrom(ringOffset, source[first..]);
    }

    private void CheckRange(int offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - length);
    }

    private Span<byte> PageRest(int offset, int length)
    {
        int inPage = offset % GuestMemory.PageSize;
        return _memory.Frame(_frames[offset / GuestMemory.PageSize]).Slice(inPage, Math.Min(length, GuestMemory.PageSize - inPage));
    }
}
