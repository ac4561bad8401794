using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.WindowsFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>What an open file of Windows says of itself, in Linux terms.</summary>
internal static unsafe class WindowsStatus
{
    private const uint AllPermissions = 0b111_101_101, WriteBits = 0b010_010_010, LinkPermissions = 0b111_111_111;
    private const long TicksPerSecond = 10_000_000;

    // 1601 to 1970.
    private const long EpochSeconds = 11_644_473_600;

    // FILE_ALL_INFORMATION: times of reading, writing and change, attributes; bytes taken, bytes, names; number. A name follows, which is not
    // wanted.
    private const int AccessedOffset = 8, ModifiedOffset = 16, ChangedOffset = 24, AttributesOffset = 32, AllocationOffset = 40, SizeOffset = 48, LinksOffset = 56,
        NumberOffset = 64, NameOffset = 96, BufferSize = NameOffset + sizeof(uint) + 516;

    /// <summary>Reads it; the file must be open for its attributes at least, and not through a reparse point.</summary>
    public static Errno Read(SafeFileHandle file, out FileStatus status)
    {
        status = default;
        byte* all = stackalloc byte[BufferSize];
        try
        {
            IoStatus io = default;
            uint result = NtQueryInformationFile(file, &io, all, BufferSize, AllInformation);
            if (!IsSuccess(result) && result != StatusBufferOverflow)
            {
                return WindowsErrors.Translate(result);
            }

            return Read(file, all, out status);
        }
        catch (ObjectDisposedException)
        {
            return Errno.EBADF;
        }
    }

    /// <summary>A time of Windows, 100 ns since 1601.</summary>
    public static long ToTicks(FileTime time) => ((time.Seconds + EpochSeconds) * TicksPerSecond) + (time.Nanoseconds / 100);

    private static Errno Read(SafeFileHandle file, byte* all, out FileStatus status)
    {
        uint attributes = *(uint*)(all + AttributesOffset);
        bool isFolder = (attributes & FolderAttribute) != 0;
        uint type = isFolder ? FileStatus.Directory : FileStatus.Regular;
        if ((attributes & ReparseAttribute) != 0)
        {
            uint* tag = stackalloc uint[2];
            IoStatus io = default;
            uint result = NtQueryInformationFile(file, &io, tag, 2 * sizeof(uint), AttributeTagInformation);
            if (!IsSuccess(result))
            {
                status = default;
                return WindowsErrors.Translate(result);
            }

            type = WindowsReparse.TypeOf(tag[1], type);
        }

        // On a folder, read-only says something else.
        bool isReadOnly = (attributes & ReadOnlyAttribute) != 0 && !isFolder;
        bool isLink = type == FileStatus.SymbolicLink;
        status = new FileStatus
        {
            Mode = type | (isLink ? LinkPermissions : isReadOnly ? AllPermissions & ~WriteBits : AllPermissions),
            Links = Math.Max(*(uint*)(all + LinksOffset), 1),
            Size = isLink ? SizeOfLink(file) : isFolder ? 0 : *(ulong*)(all + SizeOffset),
            BlockSize = 4096,
            Blocks = (*(ulong*)(all + AllocationOffset) + 511) / 512,
            Accessed = ToTime(*(long*)(all + AccessedOffset)),
            Modified = ToTime(*(long*)(all + ModifiedOffset)),
            Changed = ToTime(*(long*)(all + ChangedOffset)),
            Device = WindowsFolder.OnlyDevice,
            Inode = *(ulong*)(all + NumberOffset),
        };
        return Errno.None;
    }

    private static ulong SizeOfLink(SafeFileHandle file) => WindowsReparse.ReadLink(file, out byte[] target) == Errno.None ? (ulong)target.Length : 0;

    private static FileTime ToTime(long ticks)
    {
        (long seconds, long rest) = Math.DivRem(ticks, TicksPerSecond);
        return new FileTime(seconds - EpochSeconds, (uint)rest * 100);
    }
}
