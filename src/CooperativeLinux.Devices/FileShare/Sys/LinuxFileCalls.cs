using System.Runtime.InteropServices;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>The file calls of Linux (x86-64 layouts and numbers) that .NET does not offer: relative to an open folder, never following links.</summary>
internal static unsafe partial class LinuxFileCalls
{
    // fcntl.h
    public const int CurrentFolder = -100;
    public const int WriteOnly = 1, ReadWrite = 2, Create = 0x40, Exclusive = 0x80, NoTerminal = 0x100, Truncate = 0x200, Append = 0x400,
        NonBlocking = 0x800, DataSync = 0x1000, Directory = 0x1_0000, NoFollow = 0x2_0000, CloseOnExec = 0x8_0000, Sync = 0x10_1000, PathOnly = 0x20_0000;
    public const int SymlinkNoFollow = 0x100, RemoveDirectory = 0x200, SymlinkFollow = 0x400, NoAutomount = 0x800, EmptyPath = 0x1000;
    public const int OfdGetLock = 36, OfdSetLock = 37;
    public const short ReadLock = 0, WriteLock = 1, NoLock = 2;

    // sys/stat.h
    public const uint BasicStatus = 0x7FF;
    public const long TimeNow = (1 << 30) - 1, TimeOmit = (1 << 30) - 2;

    // linux/magic.h, zfs.h: file systems on disks or in memory of the machine.
    public static ReadOnlySpan<long> LocalFileSystems =>
        [0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x858458F6, 0x794C7630, 0xF2F52010, 0x2FC12FC1, 0x3153464A, 0x52654973, 0xCA451A4E];

    public static Errno LastError
    {
        get
        {
            int error = Marshal.GetLastPInvokeError();
            return error == 0 ? Errno.EIO : (Errno)error;
        }
    }

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true)]
    public static partial int OpenAt(int folder, byte* path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true)]
    public static partial int Statx(int folder, byte* path, int flags, uint mask, StatxResult* result);

    [LibraryImport("libc", EntryPoint = "fstatfs", SetLastError = true)]
    public static partial int StatFileSystem(int descriptor, FileSystemResult* result);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    public static partial nint Read(int descriptor, byte* buffer, nuint count, long offset);

    [LibraryImport("libc", EntryPoint = "pwrite", SetLastError = true)]
    public static partial nint Write(int descriptor, byte* buffer, nuint count, long offset);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    public static partial int SyncFile(int descriptor);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    public static partial int SyncFileData(int descriptor);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    public static partial int TruncateFile(int descriptor, long size);

    [LibraryImport("libc", EntryPoint = "truncate", SetLastError = true)]
    public static partial int TruncatePath(byte* path, long size);

    [LibraryImport("libc", EntryPoint = "getdents64", SetLastError = true)]
    public static partial nint GetEntries(int descriptor, byte* buffer, nuint size);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    public static partial long Seek(int descriptor, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "mkdirat", SetLastError = true)]
    public static partial int MakeDirectoryAt(int folder, byte* path, uint mode);

    [LibraryImport("libc", EntryPoint = "mknodat", SetLastError = true)]
    public static partial int MakeNodeAt(int folder, byte* path, uint mode, ulong device);

    [LibraryImport("libc", EntryPoint = "symlinkat", SetLastError = true)]
    public static partial int SymbolicLinkAt(byte* target, int folder, byte* path);

    [LibraryImport("libc", EntryPoint = "linkat", SetLastError = true)]
    public static partial int LinkAt(int oldFolder, byte* oldPath, int newFolder, byte* newPath, int flags);

    [LibraryImport("libc", EntryPoint = "readlinkat", SetLastError = true)]
    public static partial nint ReadLinkAt(int folder, byte* path, byte* buffer, nuint size);

    [LibraryImport("libc", EntryPoint = "unlinkat", SetLastError = true)]
    public static partial int UnlinkAt(int folder, byte* path, int flags);

    [LibraryImport("libc", EntryPoint = "renameat", SetLastError = true)]
    public static partial int RenameAt(int oldFolder, byte* oldPath, int newFolder, byte* newPath);

    [LibraryImport("libc", EntryPoint = "chmod", SetLastError = true)]
    public static partial int ChangeMode(byte* path, uint mode);

    [LibraryImport("libc", EntryPoint = "fchmod", SetLastError = true)]
    public static partial int ChangeFileMode(int descriptor, uint mode);

    [LibraryImport("libc", EntryPoint = "fchownat", SetLastError = true)]
    public static partial int ChangeOwnerAt(int folder, byte* path, uint user, uint group, int flags);

    [LibraryImport("libc", EntryPoint = "utimensat", SetLastError = true)]
    public static partial int SetTimesAt(int folder, byte* path, TimeValue* times, int flags);

    [LibraryImport("libc", EntryPoint = "getxattr", SetLastError = true)]
    public static partial nint GetAttribute(byte* path, byte* name, byte* value, nuint size);

    [LibraryImport("libc", EntryPoint = "setxattr", SetLastError = true)]
    public static partial int SetAttribute(byte* path, byte* name, byte* value, nuint size, int flags);

    [LibraryImport("libc", EntryPoint = "removexattr", SetLastError = true)]
    public static partial int RemoveAttribute(byte* path, byte* name);

    [LibraryImport("libc", EntryPoint = "listxattr", SetLastError = true)]
    public static partial nint ListAttributes(byte* path, byte* list, nuint size);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int ControlLock(int descriptor, int command, LockRequest* request);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    public static partial uint GetEffectiveUser();

    [LibraryImport("libc", EntryPoint = "getegid")]
    public static partial uint GetEffectiveGroup();

    /// <summary>struct statx.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    public struct StatxResult
    {
        [FieldOffset(4)]
        public uint BlockSize;

        [FieldOffset(16)]
        public uint Links;

        [FieldOffset(20)]
        public uint User;

        [FieldOffset(24)]
        public uint Group;

        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(32)]
        public ulong Inode;

        [FieldOffset(40)]
        public ulong Size;

        [FieldOffset(48)]
        public ulong Blocks;

        [FieldOffset(64)]
        public StatxTime Accessed;

        [FieldOffset(96)]
        public StatxTime Changed;

        [FieldOffset(112)]
        public StatxTime Modified;

        [FieldOffset(128)]
        public uint SpecialMajor;

        [FieldOffset(132)]
        public uint SpecialMinor;

        [FieldOffset(136)]
        public uint DeviceMajor;

        [FieldOffset(140)]
        public uint DeviceMinor;
    }

    /// <summary>struct statx_timestamp.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 16)]
    public struct StatxTime
    {
        public long Seconds;
        public uint Nanoseconds;
    }

    /// <summary>struct timespec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct TimeValue
    {
        public long Seconds;
        public long Nanoseconds;
    }

    /// <summary>struct statfs.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 120)]
    public struct FileSystemResult
    {
        public long Type;
        public long BlockSize;
        public ulong Blocks;
        public ulong Free;
        public ulong Available;
        public ulong Files;
        public ulong FreeFiles;
        public ulong Id;
        public long NameLength;
        public long FragmentSize;
    }

    /// <summary>struct flock.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    public struct LockRequest
    {
        [FieldOffset(0)]
        public short Type;

        [FieldOffset(8)]
        public long Start;

        [FieldOffset(16)]
        public long Length;
    }
}
