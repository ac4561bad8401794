using System.Runtime.InteropServices;
using static CooperativeLinux.Host.Sys.WindowsMemoryCalls;

namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>Reserved and committed private memory.</summary>
internal sealed unsafe class WindowsHostAllocation : HostAllocation
{
    private nint _address;

    public WindowsHostAllocation(ulong size)
    {
        _address = VirtualAlloc(0, (nuint)size, MemoryReserve | MemoryCommit, PageReadWrite);
        if (_address == 0)
        {
            throw new OutOfMemoryException(HostCallException.Describe($"VirtualAlloc of {size} bytes", Marshal.GetLastPInvokeError()));
        }

        Size = size;
    }

    ~WindowsHostAllocation() => Release();

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
        // Decommit and recommit would leave a moment in which another vCPU's or a device's access kills the process.
        // Reset pages hold what they held or zeros, so zero them first. Unlocking pages that are not locked takes them out
        // of the working set, and reports that they were not locked.
        NativeMemory.Clear(start, length);
        if (VirtualAlloc((nint)start, length, MemoryReset, PageReadWrite) == 0)
        {
            throw HostCallException.FromLast("VirtualAlloc(MEM_RESET)");
        }

        _ = VirtualUnlock((nint)start, length);
    }

    /// <inheritdoc/>
    private protected override int CountResidentPages(byte* start, int pages)
    {
        // PSAPI_WORKING_SET_EX_INFORMATION: the address, then flags of which bit 0 says that the page is in the working set.
        nuint[] information = new nuint[pages * 2];
        for (int page = 0; page < pages; page++)
        {
            information[page * 2] = (nuint)(start + ((nint)page * PageSize));
        }

        fixed (nuint* first = information)
        {
            if (!QueryWorkingSet(GetCurrentProcess(), first, (uint)(information.Length * sizeof(nuint))))
            {
                throw HostCallException.FromLast("QueryWorkingSetEx");
            }
        }

        int count = 0;
        for (int page = 0; page < pages; page++)
        {
            count += (int)(information[(page * 2) + 1] & 1);
        }

        return count;
    }

    private void Release()
    {
        nint address = Interlocked.Exchange(ref _address, 0);
        if (address != 0 && !VirtualFree(address, 0, MemoryRelease))
        {
            Environment.FailFast(HostCallException.Describe("VirtualFree", Marshal.GetLastPInvokeError()));
        }
    }
}
