using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace CooperativeLinux.Host.Disks.Sys;

/// <summary>The device control calls of kernel32, constants from winioctl.h and winerror.h.</summary>
internal static partial class WindowsDiskCalls
{
    public const uint SetSparse = 0x900c4;
    public const uint SetZeroData = 0x980c8;
    public const uint GetLengthInfo = 0x7405c;

    public const int ErrorInvalidFunction = 1;
    public const int ErrorNotSupported = 50;

    [LibraryImport("kernel32", EntryPoint = "DeviceIoControl", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static partial bool Control(
        SafeFileHandle file, uint code, ReadOnlySpan<long> input, int inputSize, Span<long> output, int outputSize, out int returned, nint overlapped);

    [LibraryImport("kernel32", EntryPoint = "GetCompressedFileSizeW", SetLastError = true, StringMarshalling = StringMarshalling.Utf16)]
    public static partial uint GetCompressedSize(string path, out uint high);
}
