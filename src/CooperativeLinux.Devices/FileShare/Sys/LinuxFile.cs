using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.LinuxFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>An open file or folder on a Linux host.</summary>
internal sealed unsafe class LinuxFile(SafeFileHandle handle) : HostFile
{
    // Large enough that a folder of ten thousand files takes a dozen calls.
    private const int EntryBufferSize = 32 * 1024;

    // struct linux_dirent64: u64 inode, s64 offset, u16 length, u8 type, name.
    private const int EntryOffset = 8, EntryLength = 16, EntryType = 18, EntryName = 19;

    private readonly Lock _entryGate = new();
    private byte[]? _entries;
    private int _entryPosition;
    private int _entryEnd;
    private ulong _nextOffset;

    public override Errno Read(Span<byte> destination, ulong offset, out int count)
    {
        count = 0;
        if (offset > long.MaxValue - (ulong)destination.Length)
        {
            return Errno.EINVAL;
        }

        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            fixed (byte* buffer = destination)
            {
                while (count < destination.Length)
                {
                    nint read = LinuxFileCalls.Read(hold.Descriptor, buffer + count, (nuint)(destination.Length - count), (long)offset + count);
                    if (read < 0 && LastError != Errno.EINTR)
                    {
                        return count > 0 ? Errno.None : LastError;
                    }

                    if (read == 0)
                    {
                        break;
                    }

                    count += (int)Math.Max(read, 0);
                }
            }
        }

        return Errno.None;
    }

    public override Errno Write(ReadOnlySpan<byte> source, ulong offset, out int count)
    {
        count = 0;
        if (offset > long.MaxValue - (ulong)source.Length)
        {
            return Errno.EFBIG;
        }

        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            fixed (byte* buffer = source)
            {
                while (count < source.Length)
                {
                    nint written = LinuxFileCalls.Write(hold.Descriptor, buffer + count, (nuint)(source.Length - count), (long)offset + count);
                    if (written < 0 && LastError != Errno.EINTR)
                    {
                        return count > 0 ? Errno.None : LastError;
                    }

                    count += (int)Math.Max(written, 0);
                }
            }
        }

        return Errno.None;
    }

    public override Errno Sync(bool isDataOnly)
    {
        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            return Result(isDataOnly ? SyncFileData(hold.Descriptor) : SyncFile(hold.Descriptor));
        }
    }

    public override Errno SetSize(ulong size)
    {
        if (size > long.MaxValue)
        {
            return Errno.EFBIG;
        }

        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            return Result(TruncateFile(hold.Descriptor, (long)size));
        }
    }

    public override Errno GetStatus(out FileStatus status)
    {
        status = default;
        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            return LinuxNode.GetStatus(hold.Descriptor, out status);
        }
    }

    public override Errno ReadEntries<TVisitor>(ulong offset, ref TVisitor visitor)
    {
        if (offset > long.MaxValue)
        {
            return Errno.EINVAL;
        }

        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            lock (_entryGate)
            {
                return ReadEntriesLocked(hold.Descriptor, offset, ref visitor);
            }
        }
    }

    public override Errno TryLock(FileLockKind kind, ulong start, ulong length)
    {
        LockRequest request = new() { Type = (short)kind, Start = (long)start, Length = (long)length };
        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            Errno error = Result(ControlLock(hold.Descriptor, OfdSetLock, &request));
            return error == Errno.EACCES ? Errno.EAGAIN : error;
        }
    }

    public override Errno TestLock(FileLockKind kind, ulong start, ulong length, out FileLockRange conflict)
    {
        conflict = new FileLockRange(FileLockKind.None, 0, 0);
        LockRequest request = new() { Type = (short)kind, Start = (long)start, Length = (long)length };
        if (!LinuxHandleHold.TryTake(handle, out LinuxHandleHold hold))
        {
            return Errno.EBADF;
        }

        using (hold)
        {
            Errno error = Result(ControlLock(hold.Descriptor, OfdGetLock, &request));
            if (error == Errno.None)
            {
                conflict = new FileLockRange((FileLockKind)request.Type, (ulong)request.Start, (ulong)request.Length);
            }

            return error;
        }
    }

    public override void Dispose() => handle.Dispose();

    private static Errno Result(int value) => value < 0 ? LastError : Errno.None;

    private Errno ReadEntriesLocked<TVisitor>(int descriptor, ulong offset, ref TVisitor visitor)
        where TVisitor : IEntryVisitor, allows ref struct
    {
        if (offset == 0 || offset != _nextOffset)
        {
            _entryPosition = _entryEnd = 0;
            if (Seek(descriptor, (long)offset, 0) < 0)
            {
                return LastError;
            }

            _nextOffset = offset;
        }

        byte[] entries = _entries ??= new byte[EntryBufferSize];
        while (true)
        {
            if (_entryPosition == _entryEnd)
            {
                nint length;
                fixed (byte* buffer = entries)
                {
                    length = GetEntries(descriptor, buffer, EntryBufferSize);
                }

                if (length <= 0)
                {
                    return length < 0 ? LastError : Errno.None;
                }

                (_entryPosition, _entryEnd) = (0, (int)length);
            }

            ReadOnlySpan<byte> entry = entries.AsSpan(_entryPosition, _entryEnd - _entryPosition);
            ushort size = BinaryPrimitives.ReadUInt16LittleEndian(entry[EntryLength..]);
            ReadOnlySpan<byte> name = entry[EntryName..size];
            ulong next = BinaryPrimitives.ReadUInt64LittleEndian(entry[EntryOffset..]);
            if (!visitor.Take(BinaryPrimitives.ReadUInt64LittleEndian(entry), next, entry[EntryType], name[..name.IndexOf((byte)0)]))
            {
                return Errno.None;
            }

            _entryPosition += size;
            _nextOffset = next;
        }
    }
}
