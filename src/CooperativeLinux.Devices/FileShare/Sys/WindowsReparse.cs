using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.WindowsFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>
/// Reparse points: what Windows has for links, and for some files that are elsewhere or special. Tags and layouts from [MS-FSCC] 2.1.2.
/// None is ever followed by the host.
/// </summary>
internal static unsafe class WindowsReparse
{
    /// <summary>IO_REPARSE_TAG_LX_SYMLINK: a link as Linux programs on Windows (WSL) make it; UTF-8 behind the number 2.</summary>
    public const uint LinuxLink = 0xA000_001D;

    private const uint MountPoint = 0xA000_0003, WindowsLink = 0xA000_000C, UnixSocket = 0x8000_0023, LinuxFifo = 0x8000_0024, LinuxCharacterDevice = 0x8000_0025,
        LinuxBlockDevice = 0x8000_0026;

    // IsReparseTagNameSurrogate: it stands for another file.
    private const uint NameSurrogate = 0x2000_0000;

    // REPARSE_DATA_BUFFER: tag, length of the data, two unused bytes, data.
    private const int LengthOffset = 4, DataOffset = 8, LinuxLinkVersion = 2;

    // MAXIMUM_REPARSE_DATA_BUFFER_SIZE.
    private const int MaxSize = 16 * 1024;

    /// <summary>The file type that a reparse point is to the guest.</summary>
    /// <param name="tag">Its tag.</param>
    /// <param name="plain">The type without it: that of files which only keep their content elsewhere.</param>
    public static uint TypeOf(uint tag, uint plain) => tag switch
    {
        LinuxLink or WindowsLink or MountPoint => FileStatus.SymbolicLink,
        UnixSocket => FileStatus.Socket,
        LinuxFifo => FileStatus.Fifo,
        LinuxCharacterDevice => FileStatus.CharacterDevice,
        LinuxBlockDevice => FileStatus.BlockDevice,
        _ => (tag & NameSurrogate) != 0 ? FileStatus.Socket : plain,
    };

    /// <summary>Reads where a link leads.</summary>
    /// <returns>EINVAL if it is none.</returns>
    public static Errno ReadLink(SafeFileHandle file, out byte[] target)
    {
        target = [];
        byte[] buffer = new byte[MaxSize];
        IoStatus status = default;
        uint result;
        fixed (byte* output = buffer)
        {
            result = NtFsControlFile(file, 0, 0, 0, &status, GetReparsePoint, null, 0, output, MaxSize);
        }

        return IsSuccess(result) && TryParse(buffer.AsSpan(0, (int)status.Information), out target) ? Errno.None
            : IsSuccess(result) ? Errno.EINVAL : WindowsErrors.Translate(result);
    }

    /// <summary>Makes an empty file into a link.</summary>
    public static Errno WriteLink(SafeFileHandle file, ReadOnlySpan<byte> target)
    {
        byte[] buffer = new byte[DataOffset + sizeof(uint) + target.Length];
        if (buffer.Length > MaxSize)
        {
            return Errno.ENAMETOOLONG;
        }

        BinaryPrimitives.WriteUInt32LittleEndian(buffer, LinuxLink);
        BinaryPrimitives.WriteUInt16LittleEndian(buffer.AsSpan(LengthOffset), (ushort)(buffer.Length - DataOffset));
        BinaryPrimitives.WriteUInt32LittleEndian(buffer.AsSpan(DataOffset), LinuxLinkVersion);
        target.CopyTo(buffer.AsSpan(DataOffset + sizeof(uint)));
        IoStatus status = default;
        fixed (byte* input = buffer)
        {
            Errno error = WindowsErrors.Translate(NtFsControlFile(file, 0, 0, 0, &status, SetReparsePoint, input, (uint)buffer.Length, null, 0));
            return error is Errno.EOPNOTSUPP or Errno.EIO ? Errno.EPERM : error;
        }
    }

    /// <summary>Takes the text of a link out of a REPARSE_DATA_BUFFER.</summary>
    internal static bool TryParse(ReadOnlySpan<byte> buffer, out byte[] target)
    {
        target = [];
        if (buffer.Length < DataOffset)
        {
            return false;
        }

        uint tag = BinaryPrimitives.ReadUInt32LittleEndian(buffer);
        int length = BinaryPrimitives.ReadUInt16LittleEndian(buffer[LengthOffset..]);
        ReadOnlySpan<byte> data = buffer[DataOffset..];
        data = data[..Math.Min(length, data.Length)];
        switch (tag)
        {
            case LinuxLink when data.Length > sizeof(uint) && BinaryPrimitives.ReadUInt32LittleEndian(data) == LinuxLinkVersion:
                target = data[sizeof(uint)..].ToArray();
                return true;
            case WindowsLink:
                return TryParseNames(data, namesOffset: 12, out target);
            case MountPoint:
                return TryParseNames(data, namesOffset: 8, out target);
            default:
                return false;
        }
    }

    /// <summary>The name for people, or without it the one for the system: offset and length of both, then the names.</summary>
    private static bool TryParseNames(ReadOnlySpan<byte> data, int namesOffset, out byte[] target)
    {
        target = [];
        if (data.Length < namesOffset)
        {
            return false;
        }

        bool hasPrintName = BinaryPrimitives.ReadUInt16LittleEndian(data[6..]) > 0;
        int offset = BinaryPrimitives.ReadUInt16LittleEndian(data[(hasPrintName ? 4 : 0)..]);
        int length = BinaryPrimitives.ReadUInt16LittleEndian(data[(hasPrintName ? 6 : 2)..]);
        if (length == 0 || offset + length > data.Length - namesOffset)
        {
            return false;
        }

        target = Encoding.UTF8.GetBytes(Encoding.Unicode.GetString(data.Slice(namesOffset + offset, length)).Replace('\\', '/'));
        return true;
    }
}
