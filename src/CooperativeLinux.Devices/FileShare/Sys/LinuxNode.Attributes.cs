using System.Buffers;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using static CooperativeLinux.Devices.FileShare.Sys.LinuxFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>Permissions, owners, times, sizes and extended attributes.</summary>
internal sealed unsafe partial class LinuxNode
{
    // A link has no permissions of its own; before Linux 6.6 some file systems changed them all the same.
    public override Errno SetPermissions(uint permissions) =>
        _type == FileStatus.SymbolicLink ? Errno.EOPNOTSUPP : OnPath(path => Result(ChangeMode(path, permissions & FileStatus.PermissionMask)));

    public override Errno SetOwner(uint user, uint group)
    {
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            byte empty = 0;
            return error != Errno.None ? error : Result(ChangeOwnerAt(hold.Descriptor, &empty, user, group, EmptyPath));
        }
    }

    public override Errno SetSize(ulong size)
    {
        if (_type != FileStatus.Regular)
        {
            return _type == FileStatus.Directory ? Errno.EISDIR : Errno.EINVAL;
        }

        return size > long.MaxValue ? Errno.EFBIG : OnPath(path => Result(TruncatePath(path, (long)size)));
    }

    public override Errno SetTimes(in FileTimes times)
    {
        (FileTimes wanted, TimeValue accessed, TimeValue modified) = (times, default, default);
        accessed = ToTimeValue(wanted.Accessed, wanted.IsAccessedNow);
        modified = ToTimeValue(wanted.Modified, wanted.IsModifiedNow);
        return OnPath(path =>
        {
            TimeValue* values = stackalloc TimeValue[2];
            values[0] = accessed;
            values[1] = modified;
            return Result(SetTimesAt(CurrentFolder, path, values, 0));
        });
    }

    public override Errno GetExtendedAttribute(ReadOnlySpan<byte> name, out byte[] value) => ReadAttributes(name, out value);

    public override Errno ListExtendedAttributes(out byte[] names) => ReadAttributes([], out names);

    public override Errno SetExtendedAttribute(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags)
    {
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            LinuxDescriptorPath path = LinuxDescriptorPath.Of(hold.Descriptor);
            fixed (byte* namePointer = name, valuePointer = value)
            {
                return Result(SetAttribute((byte*)&path, namePointer, valuePointer, (nuint)value.Length, flags));
            }
        }
    }

    public override Errno RemoveExtendedAttribute(ReadOnlySpan<byte> name)
    {
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            LinuxDescriptorPath path = LinuxDescriptorPath.Of(hold.Descriptor);
            fixed (byte* namePointer = name)
            {
                return Result(RemoveAttribute((byte*)&path, namePointer));
            }
        }
    }

    private static TimeValue ToTimeValue(FileTime? time, bool isNow) => (time, isNow) switch
    {
        (_, true) => new TimeValue { Nanoseconds = TimeNow },
        (FileTime set, _) => new TimeValue { Seconds = set.Seconds, Nanoseconds = set.Nanoseconds },
        _ => new TimeValue { Nanoseconds = TimeOmit },
    };

    // Without a name: the list of names.
    private Errno ReadAttributes(ReadOnlySpan<byte> name, out byte[] value)
    {
        value = [];
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            LinuxDescriptorPath path = LinuxDescriptorPath.Of(hold.Descriptor);
            byte[] buffer = ArrayPool<byte>.Shared.Rent(1024);
            try
            {
                while (true)
                {
                    nint length;
                    fixed (byte* namePointer = name, bufferPointer = buffer)
                    {
                        length = name.IsEmpty
                            ? ListAttributes((byte*)&path, bufferPointer, (nuint)buffer.Length)
                            : GetAttribute((byte*)&path, namePointer, bufferPointer, (nuint)buffer.Length);
                    }

                    if (length >= 0)
                    {
                        value = buffer.AsSpan(0, (int)length).ToArray();
                        return Errno.None;
                    }

                    // XATTR_SIZE_MAX and XATTR_LIST_MAX are 64 KiB.
                    error = LastError;
                    if (error != Errno.ERANGE || buffer.Length >= 1 << 16)
                    {
                        return error;
                    }

                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = ArrayPool<byte>.Shared.Rent(1 << 16);
                }
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
    }
}
