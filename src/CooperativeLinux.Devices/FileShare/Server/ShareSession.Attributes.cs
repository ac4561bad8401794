using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>Attributes, plain and extended.</summary>
internal sealed partial class ShareSession
{
    // P9_STATS_BASIC: mode to blocks, all that Linux's stat shows.
    private const ulong BasicAttributes = 0x7FF;

    // P9_ATTR_*.
    private const uint ModeBit = 1, UserBit = 2, GroupBit = 4, SizeBit = 8, AccessedBit = 0x10, ModifiedBit = 0x20, AccessedSetBit = 0x80, ModifiedSetBit = 0x100;

    // V9FS_MAGIC, what statfs shows of a 9p mount.
    private const uint FileSystemType = 0x01021997;

    // XATTR_NAME_MAX, XATTR_SIZE_MAX, XATTR_REPLACE.
    private const int MaxAttributeName = 255, MaxAttributeSize = 65536;
    private const uint ReplaceAttribute = 2;

    // Fids that stand for extended attributes, each with up to 64 KiB: a guest has one or two at a time.
    private const int MaxAttributes = 256;

    private int _attributes;

    private Errno GetAttributes(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        exchange.Fields.ReadUInt64();
        if (!exchange.Fields.IsIntact || !_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        Errno error = fid.Node.GetStatus(out FileStatus status);
        Qid id = IdOf(status);
        if (error == Errno.None)
        {
            _owners.Show(fid.Node, ref status);
        }

        fid.Release();
        ref MessageWriter answer = ref exchange.Answer;
        answer.Write(BasicAttributes);
        answer.Write(id);
        answer.Write(status.Mode);
        answer.Write(status.User);
        answer.Write(status.Group);
        answer.Write(status.Links);
        answer.Write(status.DeviceNumber);
        answer.Write(status.Size);
        answer.Write(status.BlockSize);
        answer.Write(status.Blocks);
        foreach (FileTime time in (ReadOnlySpan<FileTime>)[status.Accessed, status.Modified, status.Changed, default])
        {
            answer.Write((ulong)time.Seconds);
            answer.Write((ulong)time.Nanoseconds);
        }

        // Generation and data version: unknown.
        answer.Write(0ul);
        answer.Write(0ul);
        return error;
    }

    private Errno SetAttributes(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        uint valid = exchange.Fields.ReadUInt32();
        uint permissions = exchange.Fields.ReadUInt32() & FileStatus.PermissionMask;
        uint user = exchange.Fields.ReadUInt32();
        uint group = exchange.Fields.ReadUInt32();
        ulong size = exchange.Fields.ReadUInt64();
        (ulong Seconds, ulong Nanoseconds) accessed = (exchange.Fields.ReadUInt64(), exchange.Fields.ReadUInt64());
        (ulong Seconds, ulong Nanoseconds) modified = (exchange.Fields.ReadUInt64(), exchange.Fields.ReadUInt64());
        if (!exchange.Fields.IsIntact)
        {
            return Errno.EINVAL;
        }

        if (_options.IsReadOnly)
        {
            return Errno.EROFS;
        }

        FileTimes times = new(
            ToTime(valid, AccessedBit, AccessedSetBit, accessed, out bool isAccessedNow), isAccessedNow,
            ToTime(valid, ModifiedBit, ModifiedSetBit, modified, out bool isModifiedNow), isModifiedNow);
        if (times.Accessed is { Nanoseconds: >= 1_000_000_000 } || times.Modified is { Nanoseconds: >= 1_000_000_000 })
        {
            return Errno.EINVAL;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        try
        {
            Errno error = Errno.None;
            if ((valid & (UserBit | GroupBit)) != 0)
            {
                error = _owners.SetOwner(
                    fid.Node, (valid & UserBit) != 0 ? user : OwnerMapping.Unchanged, (valid & GroupBit) != 0 ? group : OwnerMapping.Unchanged);
            }

            if (error == Errno.None && (valid & ModeBit) != 0)
            {
                error = _owners.SetPermissions(fid.Node, permissions);
            }

            if (error == Errno.None && (valid & SizeBit) != 0)
            {
                bool isWritable = (fid.Mode & (FileOpenMode.Write | FileOpenMode.ReadWrite)) != 0;
                error = isWritable && fid.File is { } file ? file.SetSize(size) : fid.Node.SetSize(size);
            }

            return error == Errno.None && (valid & (AccessedBit | ModifiedBit)) != 0 ? fid.Node.SetTimes(times) : error;
        }
        finally
        {
            fid.Release();
        }
    }

    private static FileTime? ToTime(uint valid, uint bit, uint setBit, (ulong Seconds, ulong Nanoseconds) time, out bool isNow)
    {
        isNow = (valid & bit) != 0 && (valid & setBit) == 0;
        return (valid & bit) != 0 && !isNow ? new FileTime((long)time.Seconds, (uint)Math.Min(time.Nanoseconds, uint.MaxValue)) : null;
    }

    private Errno StatFileSystem(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        if (!exchange.Fields.IsIntact || !_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        Errno error = fid.Node.GetFileSystemStatus(out FileSystemStatus status);
        fid.Release();
        ref MessageWriter answer = ref exchange.Answer;
        answer.Write(FileSystemType);
        answer.Write(status.BlockSize);
        answer.Write(status.Blocks);
        answer.Write(status.Free);
        answer.Write(status.Available);
        answer.Write(status.Files);
        answer.Write(status.FreeFiles);
        answer.Write(0ul);
        answer.Write(status.NameLength);
        return error;
    }

    private Errno WalkExtendedAttribute(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        uint newNumber = exchange.Fields.ReadUInt32();
        Errno error = ReadAttributeName(ref exchange, out byte[] name);
        if (error != Errno.None)
        {
            return error;
        }

        if (name.Length > 1 && !_owners.IsAttributeVisible(name))
        {
            return Errno.EOPNOTSUPP;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        try
        {
            byte[] value;
            if (name.Length > 1)
            {
                error = fid.Node.GetExtendedAttribute(name, out value);
            }
            else
            {
                error = fid.Node.ListExtendedAttributes(out value);
                value = _owners.VisibleAttributes(value);
            }

            if (error != Errno.None)
            {
                return error;
            }

            exchange.Answer.Write((ulong)value.Length);
            return EnterAttribute(newNumber, fid, new ExtendedAttribute(name, value, IsWrite: false, 0), newNumber == number ? fid : null);
        }
        finally
        {
            fid.Release();
        }
    }

    private Errno CreateExtendedAttribute(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        Errno error = ReadAttributeName(ref exchange, out byte[] name);
        ulong size = exchange.Fields.ReadUInt64();
        uint flags = exchange.Fields.ReadUInt32();
        error = !exchange.Fields.IsIntact || name.Length <= 1 || flags > ReplaceAttribute ? Errno.EINVAL
            : error != Errno.None ? error
            : _options.IsReadOnly ? Errno.EROFS
            : !_owners.IsAttributeVisible(name) ? Errno.EOPNOTSUPP
            : size > MaxAttributeSize ? Errno.E2BIG
            : Errno.None;
        if (error != Errno.None)
        {
            return error;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        error = EnterAttribute(number, fid, new ExtendedAttribute(name, new byte[size], IsWrite: true, flags), fid);
        fid.Release();
        return error;
    }

    private Errno EnterAttribute(uint number, Fid file, ExtendedAttribute attribute, Fid? replaced)
    {
        if (Interlocked.Increment(ref _attributes) > MaxAttributes)
        {
            Interlocked.Decrement(ref _attributes);
            return Errno.ENFILE;
        }

        file.Node.AddHolder();
        Fid made = new(file.Node, file.User) { Attribute = attribute, Closed = () => Interlocked.Decrement(ref _attributes) };
        return Enter(number, made, replaced);
    }

    private static Errno ReadAttributeName(ref Exchange exchange, out byte[] name)
    {
        ReadOnlySpan<byte> bytes = exchange.Fields.ReadString();
        name = [.. bytes, 0];
        return !exchange.Fields.IsIntact || bytes.Contains((byte)0) ? Errno.EINVAL : bytes.Length > MaxAttributeName ? Errno.ERANGE : Errno.None;
    }

    /// <summary>Takes a part of a value; with the last one the attribute is set.</summary>
    private static Errno WriteAttribute(Fid fid, ulong offset, ReadOnlySpan<byte> data, out int count)
    {
        count = 0;
        ExtendedAttribute attribute = fid.Attribute!;
        lock (attribute)
        {
            if (!attribute.IsWrite || offset != (ulong)attribute.Written || data.Length > attribute.Value.Length - attribute.Written)
            {
                return Errno.EINVAL;
            }

            data.CopyTo(attribute.Value.AsSpan(attribute.Written));
            attribute.Written += data.Length;
            count = data.Length;
            return data.Length > 0 && attribute.Written == attribute.Value.Length
                ? fid.Node.SetExtendedAttribute(attribute.Name, attribute.Value, (int)attribute.Flags)
                : Errno.None;
        }
    }

    /// <summary>Sets an empty attribute, or removes it, which Linux asks for as its replacement by nothing.</summary>
    private static Errno FinishAttribute(Fid fid) => fid.Attribute switch
    {
        { IsWrite: true, Value.Length: 0, Flags: ReplaceAttribute } attribute => fid.Node.RemoveExtendedAttribute(attribute.Name),
        { IsWrite: true, Value.Length: 0 } attribute => fid.Node.SetExtendedAttribute(attribute.Name, [], (int)attribute.Flags),
        _ => Errno.None,
    };
}
