using CooperativeLinux.Host.Sys;

namespace CooperativeLinux.Host.Memory;

/// <summary>A page-aligned region of host address space that is released when disposed.</summary>
public abstract unsafe class HostAllocation : IDisposable
{
    /// <summary>Bytes in a host page.</summary>
    public const int PageSize = 4096;

    /// <summary>Bytes in a large page of x86-64.</summary>
    public const int LargePageSize = 2 << 20;

    // What a process has at most on x86-64 with 4-level tables. Wine searches very long for more.
    private const ulong AddressSpace = 1UL << 47;

    // Bytes looked at in one call of the host.
    private const ulong ResidencyChunk = 64 << 20;

    private protected HostAllocation()
    {
    }

    /// <summary>First byte; null after disposal.</summary>
    public abstract byte* Pointer { get; }

    /// <summary>Bytes.</summary>
    public abstract ulong Size { get; }

    /// <summary>Reserves readable, writable, zero-filled memory that takes host memory only where it is touched.
    /// On Windows the whole size counts against the commit limit (RAM plus page file) at once, because Windows
    /// commits on touch only through a fault handler; pages are still given on first touch.</summary>
    /// <param name="size">Bytes; rounded up to whole pages by the host.</param>
    /// <param name="largePages">Whether a touch may take <see cref="LargePageSize"/> at once, where the host has pages of that size: for
    /// memory that fills up. Parts that were given back are in small pages from then on.</param>
    /// <exception cref="ArgumentOutOfRangeException">The size is zero.</exception>
    /// <exception cref="OutOfMemoryException">The host refuses; the message names the call and its error.</exception>
    public static HostAllocation AllocateSparse(ulong size, bool largePages = false)
    {
        ArgumentOutOfRangeException.ThrowIfZero(size);
        return size <= AddressSpace
            ? HostPlatform.Create().AllocateSparse(size, largePages)
            : throw new OutOfMemoryException($"{size} bytes are more than the address space of a process.");
    }

    /// <summary>Tells the host that fresh memory is about to be filled, so that it may come in large pages. A hint: nothing else changes.</summary>
    /// <param name="memory">A new array, for example.</param>
    public static void ExpectFill(Span<byte> memory)
    {
        fixed (byte* start = memory)
        {
            HostPlatform.Create().AdviseLargePages(start, (nuint)memory.Length);
        }
    }

    /// <summary>Gives touched pages back to the host. They read zero afterwards. Other threads may access the range
    /// meanwhile; what they write may be lost.</summary>
    /// <param name="offset">First byte, a multiple of <see cref="PageSize"/>.</param>
    /// <param name="length">Bytes, a multiple of <see cref="PageSize"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">Not whole pages, or outside the allocation.</exception>
    /// <exception cref="HostCallException">The host refuses.</exception>
    public void Discard(ulong offset, ulong length)
    {
        if (offset % PageSize != 0 || length % PageSize != 0 || offset > Size || length > Size - offset)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset:X} + {length:X} are not whole pages of the allocation.");
        }

        ObjectDisposedException.ThrowIf(Pointer == null, this);
        if (length != 0)
        {
            DiscardPages(Pointer + offset, (nuint)length);
        }
    }

    /// <summary>Bytes that are in the host's memory at present.</summary>
    /// <exception cref="HostCallException">The host refuses.</exception>
    public ulong ResidentBytes()
    {
        ObjectDisposedException.ThrowIf(Pointer == null, this);
        ulong resident = 0;
        for (ulong offset = 0; offset < Size; offset += ResidencyChunk)
        {
            resident += (ulong)CountResidentPages(Pointer + offset, (int)Math.Min(ResidencyChunk, Size - offset) / PageSize) * PageSize;
        }

        return resident;
    }

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>See <see cref="Discard"/>; the range is checked and not empty.</summary>
    private protected abstract void DiscardPages(byte* start, nuint length);

    /// <summary>How many of some pages are in the host's memory.</summary>
    private protected abstract int CountResidentPages(byte* start, int pages);
}
