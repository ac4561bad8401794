using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Sys;

/// <summary>The memory calls of kernel32, constants from memoryapi.h and winnt.h.</summary>
internal static unsafe partial class WindowsMemoryCalls
{
    public const uint MemoryCommit = 0x1000;
    public const uint MemoryReserve = 0x2000;
    public const uint MemoryRelease = 0x8000;
    public const uint MemoryReset = 0x80000;

    public const uint PageNoAccess = 0x01;
    public const uint PageReadWrite = 0x04;
    public const uint PageExecuteReadWrite = 0x40;

    public const uint SectionCommit = 0x08000000;

    public const uint ViewWrite = 0x0002;
    public const uint ViewRead = 0x0004;
    public const uint ViewExecute = 0x0020;

    [LibraryImport("kernel32", EntryPoint = "VirtualAlloc", SetLastError = true)]
    public static partial nint VirtualAlloc(nint address, nuint size, uint type, uint protection);

    [LibraryImport("kernel32", EntryPoint = "VirtualFree", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool VirtualFree(nint address, nuint size, uint type);

    [LibraryImport("kernel32", EntryPoint = "VirtualUnlock", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool VirtualUnlock(nint address, nuint size);

    [LibraryImport("kernel32", EntryPoint = "K32QueryWorkingSetEx", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool QueryWorkingSet(nint process, void* information, uint size);

    [LibraryImport("kernel32", EntryPoint = "GetCurrentProcess")]
    public static partial nint GetCurrentProcess();

    [LibraryImport("kernel32", EntryPoint = "CreateFileMappingW", SetLastError = true)]
    public static partial nint CreateFileMapping(nint file, nint attributes, uint protection, uint sizeHigh, uint sizeLow, nint name);

    [LibraryImport("kernel32", EntryPoint = "MapViewOfFileEx", SetLastError = true)]
    public static partial nint MapViewOfFileEx(nint mapping, uint access, uint offsetHigh, uint offsetLow, nuint size, nint address);

    [LibraryImport("kernel32", EntryPoint = "UnmapViewOfFile", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool UnmapViewOfFile(nint address);

    [LibraryImport("kernel32", EntryPoint = "CloseHandle", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool CloseHandle(nint handle);
}
