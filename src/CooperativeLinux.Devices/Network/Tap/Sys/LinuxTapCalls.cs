using System.Runtime.InteropServices;

namespace CooperativeLinux.Devices.Network.Tap.Sys;

/// <summary>Calls of libc for TAP interfaces, x86-64 constants (linux/if_tun.h, linux/if.h, fcntl.h, poll.h).</summary>
internal static unsafe partial class LinuxTapCalls
{
    public const int OpenFlags = 0x2 | 0x800 | 0x80000; // O_RDWR | O_NONBLOCK | O_CLOEXEC
    public const int EventFlags = 0x800 | 0x80000;      // EFD_NONBLOCK | EFD_CLOEXEC
    public const nuint SetInterface = 0x4004_54ca;      // TUNSETIFF
    public const nuint SetOffload = 0x4004_54d0;        // TUNSETOFFLOAD
    public const nuint SetHeaderSize = 0x4004_54d8;     // TUNSETVNETHDRSZ
    public const short TapFlags = 0x2 | 0x1000 | 0x4000; // IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
    public const int OffloadChecksum = 1;               // TUN_F_CSUM
    public const int OffloadV4 = 2;                     // TUN_F_TSO4
    public const int OffloadV6 = 4;                     // TUN_F_TSO6
    public const short PollIn = 1;
    public const int ErrorNotPermitted = 1;
    public const int ErrorNotFound = 2;
    public const int ErrorInterrupted = 4;
    public const int ErrorAgain = 11;
    public const int ErrorAccess = 13;
    public const int ErrorBusy = 16;
    public const int ErrorNoDevice = 19;
    public const int ErrorInvalid = 22;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int file);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(int file, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(int file, nuint request, nint argument);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int file, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(int file, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "writev", SetLastError = true)]
    public static partial nint WriteVector(int file, IoVector* parts, int count);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    public static partial int CreateEvent(uint value, int flags);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct IoVector
    {
        public void* Base;
        public nuint Length;
    }

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct PollEntry
    {
        public int File;
        public short Events;
        public short Returned;
    }
}
