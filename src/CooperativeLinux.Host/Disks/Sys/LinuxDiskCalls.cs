using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Disks.Sys;

/// <summary>The file calls of libc, x86-64 constants (asm-generic/fcntl.h, linux/falloc.h, linux/stat.h, linux/fs.h, asm-generic/errno-base.h).</summary>
internal static unsafe partial class LinuxDiskCalls
{
    public const int OpenReadOnly = 0;
    public const int OpenReadWrite = 2;
    public const int OpenCreate = 0x40;
    public const int OpenExclusive = 0x80;
    public const int OpenNonBlocking = 0x800;
    public const int OpenCloseOnExec = 0x80000;

    public const int LockShared = 1;
    public const int LockExclusive = 2;
    public const int LockNonBlocking = 4;

    public const int ReadNoWait = 8;

    public const int AdviseRandom = 1;

    public const int SeekEnd = 2;

    public const int FallocateKeepSize = 1;
    public const int FallocatePunchHole = 2;

    public const int AtCurrentFolder = -100;
    public const int AtEmptyPath = 0x1000;
    public const uint StatxBasic = 0x7ff;

    public const int ErrorInterrupted = 4;
    public const int ErrorAgain = 11;
    public const int ErrorBusy = 16;
    public const int ErrorNoSpace = 28;
    public const int ErrorNoSystemCall = 38;
    public const int ErrorNotSupported = 95;

    [LibraryImport("libc", EntryPoint = "open64", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int file);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    public static partial int Lock(int file, int operation);

    [LibraryImport("libc", EntryPoint = "preadv64", SetLastError = true)]
    public static partial nint Read(int file, IoBuffer* buffers, int count, long offset);

    [LibraryImport("libc", EntryPoint = "preadv64v2", SetLastError = true)]
    public static partial nint Read(int file, IoBuffer* buffers, int count, long offset, int flags);

    [LibraryImport("libc", EntryPoint = "pwritev64", SetLastError = true)]
    public static partial nint Write(int file, IoBuffer* buffers, int count, long offset);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    public static partial int Synchronize(int file);

    [LibraryImport("libc", EntryPoint = "posix_fadvise64")]
    public static partial int Advise(int file, long offset, long length, int advice);

    [LibraryImport("libc", EntryPoint = "fallocate64", SetLastError = true)]
    public static partial int Allocate(int file, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "ftruncate64", SetLastError = true)]
    public static partial int Truncate(int file, long length);

    [LibraryImport("libc", EntryPoint = "lseek64", SetLastError = true)]
    public static partial long Seek(int file, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Status(int folder, string path, int flags, uint mask, out FileStatus status);

    /// <summary><c>struct statx</c>.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    public struct FileStatus
    {
        public const ushort TypeMask = 0xf000, RegularFile = 0x8000, BlockDevice = 0x6000, Folder = 0x4000;

        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(40)]
        public ulong Size;

        /// <summary>Units of 512 bytes.</summary>
        [FieldOffset(48)]
        public ulong Blocks;

        [FieldOffset(112)]
        public long ModifiedSeconds;

        [FieldOffset(120)]
        public uint ModifiedNanoseconds;

        public readonly int Type => Mode & TypeMask;
    }
}
