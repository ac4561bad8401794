using System.Runtime.InteropServices;
using static CooperativeLinux.Host.Sys.LinuxMemoryCalls;

namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>Private anonymous memory.</summary>
internal sealed unsafe class LinuxHostAllocation : HostAllocation
{
    private nint _address;

    public LinuxHostAllocation(ulong size)
    {
        nint address = Map(0, (nuint)size, ProtRead | ProtWrite, MapPrivate | MapAnonymous | MapNoReserve, -1, 0);
        if (address == MapFailed)
        {
            throw new OutOfMemoryException(HostCallException.Describe($"mmap of {size} bytes", Marshal.GetLastPInvokeError()));
        }

        // Huge pages would make a touched page cost 2 MiB. Kernels without huge pages answer EINVAL, which is as good.
        if (Advise(address, (nuint)size, AdviseNoHugePage) != 0 && Marshal.GetLastPInvokeError() != ErrorInvalid)
        {
            HostCallException failure = HostCallException.FromLast("madvise(MADV_NOHUGEPAGE)");
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

    private void Release()
    {
        nint address = Interlocked.Exchange(ref _address, 0);
        if (address != 0 && Unmap(address, (nuint)Size) != 0)
        {
            Environment.FailFast(HostCallException.Describe("munmap", Marshal.GetLastPInvokeError()));
        }
    }
}
