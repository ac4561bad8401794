using System.Collections;
using System.Runtime.InteropServices;
using static CooperativeLinux.Host.Sys.LinuxMemoryCalls;

namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>Private anonymous memory.</summary>
internal sealed unsafe class LinuxHostAllocation : HostAllocation
{
    // Large pages that are given back in part, and must not be filled up again by the host; null: there are none.
    private readonly BitArray? _small;
    private nint _address;

    public LinuxHostAllocation(ulong size, bool largePages)
    {
        nint address = largePages
            ? LinuxAlignedMapping.Create((nuint)size, 0, ProtRead | ProtWrite)
            : Map(0, (nuint)size, ProtRead | ProtWrite, MapPrivate | MapAnonymous | MapNoReserve, -1, 0);
        if (address == MapFailed)
        {
            throw new OutOfMemoryException(HostCallException.Describe($"mmap of {size} bytes", Marshal.GetLastPInvokeError()));
        }

        if (largePages)
        {
            _small = new BitArray((int)((size + LargePageSize - 1) / LargePageSize));
        }

        // By itself a host may give large pages to all, and a touched page would take 2 MiB. Kernels without them answer EINVAL, which is as good.
        if (Advise(address, (nuint)size, largePages ? AdviseHugePage : AdviseNoHugePage) != 0 && Marshal.GetLastPInvokeError() != ErrorInvalid)
        {
            HostCallException failure = HostCallException.FromLast("madvise(MADV_HUGEPAGE or MADV_NOHUGEPAGE)");
            _ = Unmap(address, (nuint)size);
            throw failure;
        }

        _address = address;
        Size = size;
    }

    ~LinuxHostAllocation() => Release();

    /// <inheritdoc/>
    public override byte* Pointer => (byte*)_address;

    /// <inheritdoc/>
    public override ulong Size { get; }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    /// <inheritdoc/>
    private protected override void DiscardPages(byte* start, nuint length)
    {
        ulong first = (ulong)(start - Pointer);
        KeepSmall(first);
        KeepSmall(first + length);
        if (Advise((nint)start, length, AdviseDontNeed) != 0)
        {
            throw HostCallException.FromLast("madvise(MADV_DONTNEED)");
        }
    }

    /// <inheritdoc/>
    private protected override int CountResidentPages(byte* start, int pages)
    {
        byte[] flags = new byte[pages];
        fixed (byte* first = flags)
        {
            if (InCore((nint)start, (nuint)pages * PageSize, first) != 0)
            {
                throw HostCallException.FromLast("mincore");
            }
        }

        return flags.AsSpan().Count((byte)1);
    }

    // A large page that is not given back as a whole: the host joins small pages to large ones again, with what it had got back.
    private void KeepSmall(ulong border)
    {
        ulong large = border / LargePageSize;
        if (_small is null || border % LargePageSize == 0 || _small[(int)large])
        {
            return;
        }

        _small[(int)large] = true;
        ulong start = large * LargePageSize;
        _ = Advise(_address + (nint)start, (nuint)Math.Min(LargePageSize, Size - start), AdviseNoHugePage);
    }

    private void Release()
    {
        nint address = Interlocked.Exchange(ref _address, 0);
        if (address != 0 && Unmap(address, (nuint)Size) != 0)
        {
            Environment.FailFast(HostCallException.Describe("munmap", Marshal.GetLastPInvokeError()));
        }
    }
}
