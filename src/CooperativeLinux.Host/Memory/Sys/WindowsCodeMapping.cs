using System.Runtime.InteropServices;
using static CooperativeLinux.Host.Sys.WindowsMemoryCalls;

namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>Private data and two views of a section for the code.</summary>
internal sealed unsafe class WindowsCodeMapping : CodeMapping
{
    private const int Attempts = 32;
    private readonly nuint _dataSize;
    private readonly nuint _codeSize;

    private WindowsCodeMapping(nint start, nuint dataSize, nuint codeSize, nint view)
    {
        Start = (byte*)start;
        CodeWritable = (byte*)view;
        _dataSize = dataSize;
        _codeSize = codeSize;
    }

    /// <summary>Maps data and code of these sizes.</summary>
    public static WindowsCodeMapping Create(nuint dataSize, nuint codeSize)
    {
        const nint InvalidHandle = -1;
        nint section = CreateFileMapping(InvalidHandle, 0, PageExecuteReadWrite | SectionCommit, 0, (uint)codeSize, 0);
        if (section == 0)
        {
            throw HostCallException.FromLast($"CreateFileMapping of {codeSize} bytes for code");
        }

        nint view = 0;
        try
        {
            view = MapViewOfFileEx(section, ViewRead | ViewWrite, 0, 0, codeSize, 0);
            if (view == 0)
            {
                throw HostCallException.FromLast("MapViewOfFileEx of the writable view of code");
            }

            nint start = MapContiguous(section, dataSize, codeSize);
            WindowsCodeMapping mapping = new(start, dataSize, codeSize, view);
            view = 0;
            return mapping;
        }
        finally
        {
            if (view != 0)
            {
                _ = UnmapViewOfFile(view);
            }

            _ = CloseHandle(section); // the views keep the section
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        nint data = (nint)Start + CodeMemory.GuardSize;
        nint code = data + (nint)_dataSize;
        bool unmapped = UnmapViewOfFile((nint)CodeWritable)
            && VirtualFree(code + (nint)_codeSize, 0, MemoryRelease)
            && UnmapViewOfFile(code)
            && VirtualFree(data, 0, MemoryRelease)
            && VirtualFree((nint)Start, 0, MemoryRelease);
        if (!unmapped)
        {
            Environment.FailFast(HostCallException.Describe("UnmapViewOfFile or VirtualFree of code", Marshal.GetLastPInvokeError()));
        }
    }

    // Placeholders would close the gap between finding a free range and filling it, but Windows before 10 1803 and
    // Wine 8 have none. Another thread may take the range in between; the system would offer both the same again, so further
    // attempts are made anywhere.
    private static nint MapContiguous(nint section, nuint dataSize, nuint codeSize)
    {
        nuint size = CodeMemory.GuardSize + dataSize + codeSize + CodeMemory.GuardSize;
        int error = 0;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            nint start = attempt == 0 ? FindFree(size) : SomeAddress();
            error = TryMapAt(start, section, dataSize, codeSize);
            if (error == 0)
            {
                return start;
            }
        }

        throw new HostCallException("Mapping data and code side by side", error);
    }

    private static nint FindFree(nuint size)
    {
        nint start = VirtualAlloc(0, size, MemoryReserve, PageNoAccess);
        if (start == 0)
        {
            throw HostCallException.FromLast($"VirtualAlloc of {size} bytes for code");
        }

        return VirtualFree(start, 0, MemoryRelease) ? start : throw HostCallException.FromLast("VirtualFree of the range for code");
    }

    // 64 GiB to 112 TiB, in steps of the allocation granularity: almost all of it is free.
    private static nint SomeAddress() => (nint)(Random.Shared.NextInt64(0x10_0000, 0x7000_0000) * CodeMemory.Granularity);

    // Returns 0, or the error after which nothing stays mapped. What was not mapped here must not be unmapped: it is
    // somebody else's.
    private static int TryMapAt(nint start, nint section, nuint dataSize, nuint codeSize)
    {
        nint data = start + CodeMemory.GuardSize;
        nint code = data + (nint)dataSize;
        nint lastGuard = code + (nint)codeSize;
        if (VirtualAlloc(start, CodeMemory.GuardSize, MemoryReserve, PageNoAccess) == 0)
        {
            return Marshal.GetLastPInvokeError();
        }

        int error;
        if (VirtualAlloc(data, dataSize, MemoryReserve | MemoryCommit, PageReadWrite) == 0)
        {
            error = Marshal.GetLastPInvokeError();
        }
        else
        {
            if (MapViewOfFileEx(section, ViewRead | ViewExecute, 0, 0, codeSize, code) == 0)
            {
                error = Marshal.GetLastPInvokeError();
            }
            else
            {
                if (VirtualAlloc(lastGuard, CodeMemory.GuardSize, MemoryReserve, PageNoAccess) != 0)
                {
                    return 0;
                }

                error = Marshal.GetLastPInvokeError();
                _ = UnmapViewOfFile(code);
            }

            _ = VirtualFree(data, 0, MemoryRelease);
        }

        _ = VirtualFree(start, 0, MemoryRelease);
        return error;
    }
}
