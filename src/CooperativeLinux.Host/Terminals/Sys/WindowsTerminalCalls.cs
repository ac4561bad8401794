using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Terminals.Sys;

/// <summary>Calls of kernel32 for consoles and standard handles, constants from consoleapi.h.</summary>
internal static unsafe partial class WindowsTerminalCalls
{
    public const int StandardInput = -10;
    public const int StandardOutput = -11;

    public const uint ProcessedInput = 0x1;
    public const uint LineInput = 0x2;
    public const uint EchoInput = 0x4;
    public const uint VirtualTerminalInput = 0x200;

    public const uint ProcessedOutput = 0x1;
    public const uint VirtualTerminalProcessing = 0x4;
    public const uint DisableNewlineAutoReturn = 0x8;

    [LibraryImport("kernel32", EntryPoint = "GetStdHandle", SetLastError = true)]
    public static partial nint GetStandardHandle(int which);

    [LibraryImport("kernel32", EntryPoint = "GetConsoleMode", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool GetConsoleMode(nint handle, out uint mode);

    [LibraryImport("kernel32", EntryPoint = "SetConsoleMode", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool SetConsoleMode(nint handle, uint mode);

    [LibraryImport("kernel32", EntryPoint = "GetConsoleScreenBufferInfo", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool GetScreenBufferInfo(nint handle, ScreenBufferInfo* info);

    [LibraryImport("kernel32", EntryPoint = "ReadConsoleW", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool ReadConsole(nint handle, char* buffer, uint count, out uint read, nint control);

    [LibraryImport("kernel32", EntryPoint = "WriteConsoleW", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool WriteConsole(nint handle, char* buffer, uint count, out uint written, nint reserved);

    [LibraryImport("kernel32", EntryPoint = "ReadFile", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool ReadFile(nint handle, byte* buffer, uint count, out uint read, nint overlapped);

    [LibraryImport("kernel32", EntryPoint = "WriteFile", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool WriteFile(nint handle, byte* buffer, uint count, out uint written, nint overlapped);

    [LibraryImport("kernel32", EntryPoint = "CancelIoEx", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool CancelIo(nint handle, nint overlapped);

    /// <summary>CONSOLE_SCREEN_BUFFER_INFO: size, cursor, attributes, window (inclusive), largest window.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 22)]
    public struct ScreenBufferInfo
    {
        [FieldOffset(10)] public short Left;
        [FieldOffset(12)] public short Top;
        [FieldOffset(14)] public short Right;
        [FieldOffset(16)] public short Bottom;
    }
}
