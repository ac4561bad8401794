using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Terminals.Sys;

/// <summary>Calls of libc for terminals, x86-64 constants (asm-generic/termbits.h, ioctls.h, poll.h).</summary>
internal static unsafe partial class LinuxTerminalCalls
{
    public const nuint GetWindowSize = 0x5413; // TIOCGWINSZ
    public const int SetNow = 0;               // TCSANOW
    public const short PollIn = 1;
    public const short PollOut = 4;
    public const int EventCloseOnExec = 0x80000;
    public const int GetDescriptorFlags = 1;   // F_GETFD
    public const int CloseOnExec = 1;          // FD_CLOEXEC
    public const int ErrorInterrupted = 4;
    public const int ErrorAgain = 11;

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int ControlDescriptor(int file, int command);

    [LibraryImport("libc", EntryPoint = "isatty", SetLastError = true)]
    public static partial int IsTerminal(int file);

    [LibraryImport("libc", EntryPoint = "tcgetattr", SetLastError = true)]
    public static partial int GetAttributes(int file, TerminalAttributes* attributes);

    [LibraryImport("libc", EntryPoint = "tcsetattr", SetLastError = true)]
    public static partial int SetAttributes(int file, int when, TerminalAttributes* attributes);

    [LibraryImport("libc", EntryPoint = "cfmakeraw")]
    public static partial void MakeRaw(TerminalAttributes* attributes);

    [LibraryImport("libc", EntryPoint = "tcgetpgrp", SetLastError = true)]
    public static partial int GetForegroundGroup(int file);

    [LibraryImport("libc", EntryPoint = "getpgrp")]
    public static partial int GetOwnGroup();

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(int file, nuint request, WindowSize* size);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(PollEntry* entries, nuint count, int timeout);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(int file, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(int file, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    public static partial int CreateEvent(uint value, int flags);

    /// <summary>struct termios of the C library: flags at 0, 4, 8, 12, line discipline 16, 32 control characters, speeds.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 60)]
    public struct TerminalAttributes
    {
        [FieldOffset(0)] public uint Input;
        [FieldOffset(4)] public uint Output;
        [FieldOffset(8)] public uint Control;
        [FieldOffset(12)] public uint Local;
    }

    /// <summary>struct winsize.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct WindowSize
    {
        public ushort Rows;
        public ushort Columns;
        public ushort PixelsAcross;
        public ushort PixelsDown;
    }

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct PollEntry
    {
        public int File;
        public short Events;
        public short Results;
    }
}
