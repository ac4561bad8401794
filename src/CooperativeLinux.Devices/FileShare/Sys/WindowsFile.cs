using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.WindowsFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>An open file or folder on a Windows host.</summary>
/// <param name="handle">The file; belongs to this object.</param>
/// <param name="isFolder">Whether it is a folder.</param>
/// <param name="isAppending">Whether each write goes to the end.</param>
internal sealed unsafe class WindowsFile(SafeFileHandle handle, bool isFolder, bool isAppending) : HostFile
{
    private const int EntryBufferSize = 64 * 1024;

    // FILE_ID_FULL_DIR_INFORMATION: offset of the next, attributes, bytes of the name, reparse tag (where sizes of extended attributes
    // are), file number, name.
    private const int EntryAttributes = 56, EntryNameLength = 60, EntryTag = 64, EntryNumber = 72, EntryName = 80;

    private readonly Lock _gate = new();
    private List<(byte[] Name, byte Type, ulong Number)>? _entries;

    public override Errno Read(Span<byte> destination, ulong offset, out int count)
    {
        count = 0;
        if (isFolder || offset > long.MaxValue - (ulong)destination.Length)
        {
            return isFolder ? Errno.EISDIR : Errno.EINVAL;
        }

        try
        {
            while (count < destination.Length)
            {
                int read = RandomAccess.Read(handle, destination[count..], (long)offset + count);
                if (read == 0)
                {
                    break;
                }

                count += read;
            }

            return Errno.None;
        }
        catch (Exception exception) when (WindowsErrors.TryTranslate(exception, out Errno error))
        {
            return count > 0 ? Errno.None : error;
        }
    }

    public override Errno Write(ReadOnlySpan<byte> source, ulong offset, out int count)
    {
        count = 0;
        if (isFolder || offset > long.MaxValue - (ulong)source.Length)
        {
            return isFolder ? Errno.EISDIR : Errno.EFBIG;
        }

        try
        {
            if (isAppending)
            {
                lock (_gate)
                {
                    RandomAccess.Write(handle, source, RandomAccess.GetLength(handle));
                }
            }
            else
            {
                RandomAccess.Write(handle, source, (long)offset);
            }

            count = source.Length;
            return Errno.None;
        }
        catch (Exception exception) when (WindowsErrors.TryTranslate(exception, out Errno error))
        {
            return error;
        }
    }

    // A folder's names are on the disk when Windows thinks so: flushing it is for administrators.
    public override Errno Sync(bool isDataOnly) => isFolder ? Errno.None : Run(() => RandomAccess.FlushToDisk(handle));

    public override Errno SetSize(ulong size) =>
        isFolder ? Errno.EISDIR : size > long.MaxValue ? Errno.EFBIG : Run(() => RandomAccess.SetLength(handle, (long)size));

    public override Errno GetStatus(out FileStatus status) => WindowsStatus.Read(handle, out status);

    public override Errno ReadEntries<TVisitor>(ulong offset, ref TVisitor visitor)
    {
        if (!isFolder)
        {
            return Errno.ENOTDIR;
        }

        lock (_gate)
        {
            Errno error = offset == 0 || _entries is null ? ReadAll() : Errno.None;
            if (error != Errno.None)
            {
                return error;
            }

            List<(byte[] Name, byte Type, ulong Number)> entries = _entries!;
            for (int i = (int)Math.Min(offset, (ulong)entries.Count); i < entries.Count; i++)
            {
                if (!visitor.Take(entries[i].Number, (ulong)i + 1, entries[i].Type, entries[i].Name))
                {
                    break;
                }
            }

            return Errno.None;
        }
    }

    // Locks of Windows keep others from reading and writing, the guest's own processes among them. So there are only those among the
    // guest's processes, which the caller keeps.
    public override Errno TryLock(FileLockKind kind, ulong start, ulong length) => Errno.None;

    public override Errno TestLock(FileLockKind kind, ulong start, ulong length, out FileLockRange conflict)
    {
        conflict = new FileLockRange(FileLockKind.None, 0, 0);
        return Errno.None;
    }

    public override void Dispose() => handle.Dispose();

    private static Errno Run(Action action)
    {
        try
        {
            action();
            return Errno.None;
        }
        catch (Exception exception) when (WindowsErrors.TryTranslate(exception, out Errno error))
        {
            return error;
        }
    }

    /// <summary>Reads all entries at once: the offsets of Windows cannot be gone back to.</summary>
    private Errno ReadAll()
    {
        Errno error = GetStatus(out FileStatus own);
        if (error != Errno.None)
        {
            return error;
        }

        List<(byte[] Name, byte Type, ulong Number)> entries = [("."u8.ToArray(), FolderType, own.Inode), (".."u8.ToArray(), FolderType, own.Inode)];
        byte[] buffer = new byte[EntryBufferSize];
        for (byte isRestart = 1; ; isRestart = 0)
        {
            IoStatus status = default;
            uint result;
            fixed (byte* output = buffer)
            {
                try
                {
                    result = NtQueryDirectoryFile(
                        handle, 0, 0, 0, &status, output, EntryBufferSize, IdFullDirectoryInformation, 0, null, isRestart);
                }
                catch (ObjectDisposedException)
                {
                    return Errno.EBADF;
                }
            }

            if (result is StatusNoMoreFiles or StatusNoSuchFile)
            {
                _entries = entries;
                return Errno.None;
            }

            if (!IsSuccess(result))
            {
                return WindowsErrors.Translate(result);
            }

            AddEntries(entries, buffer.AsSpan(0, (int)status.Information));
        }
    }

    private static byte FolderType => (byte)(FileStatus.Directory >> 12);

    private static void AddEntries(List<(byte[] Name, byte Type, ulong Number)> entries, ReadOnlySpan<byte> records)
    {
        while (records.Length > EntryName)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(records[EntryNameLength..]);
            if (WindowsNames.Decode(Encoding.Unicode.GetString(records.Slice(EntryName, length))) is string name)
            {
                uint attributes = BinaryPrimitives.ReadUInt32LittleEndian(records[EntryAttributes..]);
                uint type = (attributes & FolderAttribute) != 0 ? FileStatus.Directory : FileStatus.Regular;
                type = (attributes & ReparseAttribute) != 0 ? WindowsReparse.TypeOf(BinaryPrimitives.ReadUInt32LittleEndian(records[EntryTag..]), type) : type;
                entries.Add((Encoding.UTF8.GetBytes(name), (byte)(type >> 12), BinaryPrimitives.ReadUInt64LittleEndian(records[EntryNumber..])));
            }

            int next = BinaryPrimitives.ReadInt32LittleEndian(records);
            if (next == 0)
            {
                break;
            }

            records = records[next..];
        }
    }
}
