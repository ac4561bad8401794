using System.Buffers.Text;
using System.Runtime.CompilerServices;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>
/// The path "/proc/self/fd/N" as a C string. It leads to the very file behind the descriptor, without any name that somebody could swap,
/// and does not go on if that file is a symbolic link. For calls that do not take descriptors of O_PATH.
/// </summary>
[InlineArray(32)]
internal struct LinuxDescriptorPath
{
    private byte _first;

    public static LinuxDescriptorPath Of(int descriptor)
    {
        LinuxDescriptorPath path = default;
        Span<byte> bytes = path;
        ReadOnlySpan<byte> prefix = "/proc/self/fd/"u8;
        prefix.CopyTo(bytes);
        Utf8Formatter.TryFormat(descriptor, bytes[prefix.Length..^1], out _);
        return path;
    }
}
