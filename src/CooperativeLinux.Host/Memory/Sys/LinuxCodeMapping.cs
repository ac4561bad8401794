using System.Runtime.InteropServices;
using static CooperativeLinux.Host.Sys.LinuxMemoryCalls;

namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>A reservation with anonymous data, and a memory file mapped twice for the code.</summary>
internal sealed unsafe class LinuxCodeMapping : CodeMapping
{
    private readonly nuint _size;
    private readonly nint _code;
    private readonly nuint _viewSize;

    private LinuxCodeMapping(nint start, nuint size, nint code, nint view, nuint viewSize)
    {
        _code = code;
        Start = (byte*)start;
        CodeWritable = (byte*)view;
        _size = size;
        _viewSize = viewSize;
    }

    /// <summary>Maps data and code of these sizes.</summary>
    public static LinuxCodeMapping Create(nuint dataSize, nuint codeSize)
    {
        nuint size = CodeMemory.GuardSize + dataSize + codeSize + CodeMemory.GuardSize;
        nint start = LinuxAlignedMapping.Create(size, CodeMemory.GuardSize + dataSize, ProtNone);
        if (start == MapFailed)
        {
            throw HostCallException.FromLast($"mmap of {size} bytes for code");
        }

        try
        {
            nint data = start + CodeMemory.GuardSize;
            nint code = data + (nint)dataSize;
            if (Protect(data, dataSize, ProtRead | ProtWrite) != 0)
            {
                throw HostCallException.FromLast("mprotect of the code's data");
            }

            _ = Advise(data, dataSize, AdviseHugePage);

            nint view = TryMapTwice(code, codeSize);
            if (view != 0)
            {
                return new LinuxCodeMapping(start, size, code, view, codeSize);
            }

            if (Protect(code, codeSize, ProtRead | ProtWrite | ProtExecute) != 0)
            {
                throw HostCallException.FromLast("The host forbids executable memory: mprotect(PROT_READ|PROT_WRITE|PROT_EXEC)");
            }

            return new LinuxCodeMapping(start, size, code, code, 0);
        }
        catch
        {
            _ = Unmap(start, size);
            throw;
        }
    }

    /// <inheritdoc/>
    public override void BringIn(nuint offset, nuint length)
    {
        // Linux 5.14; before, they come in by faults.
        _ = Advise((nint)CodeWritable + (nint)offset, length, AdvisePopulateWrite);
        if (_viewSize != 0)
        {
            _ = Advise(_code + (nint)offset, length, AdvisePopulateRead);
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        if ((_viewSize != 0 && Unmap((nint)CodeWritable, _viewSize) != 0) || Unmap((nint)Start, _size) != 0)
        {
            Environment.FailFast(HostCallException.Describe("munmap of code", Marshal.GetLastPInvokeError()));
        }
    }

    /// <summary>Maps a memory file executable at the address and writable elsewhere.</summary>
    /// <returns>The writable view, or 0 where the host forbids executable files in memory; the range is then as before.</returns>
    private static nint TryMapTwice(nint code, nuint codeSize)
    {
        int file = CreateFile();
        if (file < 0)
        {
            return 0;
        }

        nint view = MapFailed;
        try
        {
            if (Truncate(file, (nint)codeSize) != 0)
            {
                throw HostCallException.FromLast($"ftruncate of a memory file to {codeSize} bytes");
            }

            view = LinuxAlignedMapping.Create(codeSize, 0, ProtNone);
            if (view == MapFailed || Map(view, codeSize, ProtRead | ProtWrite, MapShared | MapFixed | MapNoReserve, file, 0) == MapFailed)
            {
                throw HostCallException.FromLast("mmap of the writable view of code");
            }

            if (Map(code, codeSize, ProtRead | ProtExecute, MapShared | MapFixed | MapNoReserve, file, 0) != MapFailed)
            {
                // Most hosts have no large pages in memory files; the hint costs nothing.
                _ = Advise(view, codeSize, AdviseHugePage);
                _ = Advise(code, codeSize, AdviseHugePage);
                nint result = view;
                view = MapFailed;
                return result;
            }

            int error = Marshal.GetLastPInvokeError();
            if (error is ErrorAccess or ErrorPermission)
            {
                return 0;
            }

            throw new HostCallException("mmap of the executable view of code", error);
        }
        finally
        {
            if (view != MapFailed)
            {
                _ = Unmap(view, codeSize);
            }

            _ = Close(file);
        }
    }

    /// <returns>A file descriptor, or -1 where the host has or allows no memory files.</returns>
    private static int CreateFile()
    {
        // Kernels since 6.3 want to be told that the file will be executed; earlier ones do not know the flag.
        int file = CreateMemoryFile("colinux-code", MemfdCloseOnExec | MemfdExecutable);
        if (file < 0 && Marshal.GetLastPInvokeError() == ErrorInvalid)
        {
            file = CreateMemoryFile("colinux-code", MemfdCloseOnExec);
        }

        if (file >= 0)
        {
            return file;
        }

        int error = Marshal.GetLastPInvokeError();
        return error is ErrorAccess or ErrorPermission or ErrorNoSystemCall
            ? -1
            : throw new HostCallException("memfd_create", error);
    }
}
