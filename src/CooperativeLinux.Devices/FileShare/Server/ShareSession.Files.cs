using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>Opening, reading and writing.</summary>
internal sealed partial class ShareSession
{
    // size[4] type[1] tag[2] count[4]
    private const int ReadAnswerHeader = MessageWriter.HeaderSize + sizeof(uint);

    // P9_DOTL_*: the numbers of Linux on x86.
    private const uint AccessMask = 3, WriteOnly = 1, ReadWrite = 2, Exclusive = 0x80, Truncate = 0x200, Append = 0x400, DataSync = 0x1000,
        DirectoryFlag = 0x1_0000, SyncFlags = 0x10_1000;

    private static FileOpenMode ToMode(uint flags)
    {
        FileOpenMode mode = (flags & AccessMask) switch
        {
            WriteOnly => FileOpenMode.Write,
            ReadWrite => FileOpenMode.ReadWrite,
            _ => FileOpenMode.None,
        };
        mode |= (flags & Truncate) != 0 ? FileOpenMode.Truncate : 0;
        mode |= (flags & Append) != 0 ? FileOpenMode.Append : 0;
        mode |= (flags & SyncFlags) == SyncFlags ? FileOpenMode.Sync : (flags & DataSync) != 0 ? FileOpenMode.DataSync : 0;
        return mode | ((flags & DirectoryFlag) != 0 ? FileOpenMode.Directory : 0);
    }

    private static bool Changes(FileOpenMode mode) => (mode & (FileOpenMode.Write | FileOpenMode.ReadWrite | FileOpenMode.Truncate)) != 0;

    private Errno Open(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        FileOpenMode mode = ToMode(exchange.Fields.ReadUInt32());
        if (!exchange.Fields.IsIntact)
        {
            return Errno.EINVAL;
        }

        if (_options.IsReadOnly && Changes(mode))
        {
            return Errno.EROFS;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        try
        {
            Errno error = OpenFile(fid, mode, out FileStatus status);
            exchange.Answer.Write(IdOf(status));
            exchange.Answer.Write(0u);
            return error;
        }
        finally
        {
            fid.Release();
        }
    }

    private Errno OpenFile(Fid fid, FileOpenMode mode, out FileStatus status)
    {
        status = default;
        if (fid.File is not null || fid.Attribute is not null)
        {
            return Errno.EBADF;
        }

        if (!TryCountOpenFile())
        {
            return Errno.EMFILE;
        }

        Errno error = fid.Node.Open(mode, out HostFile? file);
        if (error == Errno.None)
        {
            error = file!.GetStatus(out status);
        }

        if (error == Errno.None && fid.TryOpen(file!, mode, UncountOpenFile))
        {
            return Errno.None;
        }

        file?.Dispose();
        UncountOpenFile();
        return error == Errno.None ? Errno.EBADF : error;
    }

    private Errno Create(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        Errno error = FileName.TryCreate(exchange.Fields.ReadString(), out FileName name);
        uint flags = exchange.Fields.ReadUInt32();
        uint permissions = exchange.Fields.ReadUInt32() & FileStatus.PermissionMask;
        uint group = exchange.Fields.ReadUInt32();
        error = !exchange.Fields.IsIntact ? Errno.EINVAL : error == Errno.None && _options.IsReadOnly ? Errno.EROFS : error;
        if (error != Errno.None)
        {
            return error;
        }

        if (!_fids.TryTake(number, out Fid? folder))
        {
            return Errno.EBADF;
        }

        try
        {
            return folder.File is not null ? Errno.EBADF : Create(ref exchange, number, folder, name, (flags, permissions, group));
        }
        finally
        {
            folder.Release();
        }
    }

    private Errno Create(ref Exchange exchange, uint number, Fid folder, FileName name, (uint Flags, uint Permissions, uint Group) wanted)
    {
        if (!TryCountOpenFile())
        {
            return Errno.EMFILE;
        }

        FileOpenMode mode = ToMode(wanted.Flags) & ~FileOpenMode.Directory;
        Errno error = folder.Node.Create(
            name, mode, _owners.HostPermissions(wanted.Permissions), (wanted.Flags & Exclusive) != 0, out HostNode? node, out HostFile? file, out bool isNew);
        if (error != Errno.None)
        {
            UncountOpenFile();
            return error;
        }

        if (isNew)
        {
            _owners.NoteCreation(node!, folder.User, wanted.Group, wanted.Permissions);
        }

        error = node!.GetStatus(out FileStatus status);
        Fid opened = new(node, folder.User);
        opened.TryOpen(file!, mode, UncountOpenFile);
        if (error != Errno.None)
        {
            opened.Release();
            return error;
        }

        exchange.Answer.Write(IdOf(status));
        exchange.Answer.Write(0u);
        return Enter(number, opened, folder);
    }

    /// <summary>Fills the answer to a request for data.</summary>
    private delegate Errno Fill(Fid fid, ulong offset, Span<byte> destination, out int count);

    private Errno Read(ref Exchange exchange) => AnswerData(ref exchange, static (Fid fid, ulong offset, Span<byte> destination, out int count) =>
    {
        count = 0;
        if (fid.Attribute is { IsWrite: false } attribute)
        {
            ReadOnlySpan<byte> rest = attribute.Value.AsSpan((int)Math.Min(offset, (ulong)attribute.Value.Length));
            count = Math.Min(rest.Length, destination.Length);
            rest[..count].CopyTo(destination);
            return Errno.None;
        }

        return fid.File is { } file ? file.Read(destination, offset, out count) : Errno.EBADF;
    });

    private Errno ReadDirectory(ref Exchange exchange) => AnswerData(ref exchange, (Fid fid, ulong offset, Span<byte> destination, out int count) =>
    {
        count = 0;
        if (fid.File is not { } file)
        {
            return Errno.EBADF;
        }

        EntryWriter writer = new(destination, fid.Node == _folder.Root ? IdOfRoot() : 0);
        Errno error = file.ReadEntries(offset, ref writer);
        count = writer.Length;
        return error != Errno.None ? error : writer is { Length: 0, IsFull: true } ? Errno.EINVAL : Errno.None;
    });

    /// <summary>Takes fid[4] offset[8] count[4] and answers with count[4] and so many bytes.</summary>
    private Errno AnswerData(ref Exchange exchange, Fill fill)
    {
        uint number = exchange.Fields.ReadUInt32();
        ulong offset = exchange.Fields.ReadUInt64();
        uint wanted = exchange.Fields.ReadUInt32();
        if (!exchange.Fields.IsIntact)
        {
            return Errno.EINVAL;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        try
        {
            int position = exchange.Answer.Length;
            exchange.Answer.Write(0u);
            Span<byte> destination = exchange.Answer.Rest[..(int)Math.Min(wanted, (uint)(_messageSize - ReadAnswerHeader))];
            Errno error = fill(fid, offset, destination, out int count);
            exchange.Answer.Patch(position, (uint)count);
            exchange.Answer.Advance(count);
            return error;
        }
        finally
        {
            fid.Release();
        }
    }

    private Errno Write(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        ulong offset = exchange.Fields.ReadUInt64();
        ReadOnlySpan<byte> data = exchange.Fields.ReadBytes(exchange.Fields.ReadUInt32());
        if (!exchange.Fields.IsIntact)
        {
            return Errno.EINVAL;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        try
        {
            int count = 0;
            Errno error = fid.Attribute is not null ? WriteAttribute(fid, offset, data, out count)
                : fid.File is { } file ? file.Write(data, offset, out count)
                : Errno.EBADF;
            exchange.Answer.Write((uint)count);
            return error;
        }
        finally
        {
            fid.Release();
        }
    }

    private Errno Sync(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        bool isIntact = exchange.Fields.IsIntact;

        // Old clients do not send the second field.
        bool isDataOnly = exchange.Fields.Remaining >= sizeof(uint) && exchange.Fields.ReadUInt32() != 0;
        if (!isIntact)
        {
            return Errno.EINVAL;
        }

        if (!_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        try
        {
            return fid.File is { } file ? file.Sync(isDataOnly) : Errno.EBADF;
        }
        finally
        {
            fid.Release();
        }
    }

    private ulong IdOfRoot() => _folder.Root.GetStatus(out FileStatus status) == Errno.None ? status.Inode : 0;

    private bool TryCountOpenFile()
    {
        if (Interlocked.Increment(ref _openFiles) <= _folder.MaxOpenFiles)
        {
            return true;
        }

        UncountOpenFile();
        return false;
    }

    private void UncountOpenFile() => Interlocked.Decrement(ref _openFiles);

    /// <summary>Puts entries of a folder as 9P wants them: qid[13] offset[8] type[1] name[s].</summary>
    private ref struct EntryWriter(Span<byte> destination, ulong rootInode) : IEntryVisitor
    {
        private readonly Span<byte> _destination = destination;

        public int Length { get; private set; }

        public bool IsFull { get; private set; }

        public bool Take(ulong inode, ulong offset, byte type, ReadOnlySpan<byte> name)
        {
            int size = Qid.Size + sizeof(ulong) + sizeof(byte) + sizeof(ushort) + name.Length;
            if (size > _destination.Length - Length)
            {
                IsFull = true;
                return false;
            }

            // What lies above the shared folder is nobody's business: above it is the folder itself.
            ulong path = rootInode != 0 && name.SequenceEqual(".."u8) ? rootInode : inode;
            byte idType = ((uint)type << 12) switch
            {
                FileStatus.Directory => Qid.Directory,
                FileStatus.SymbolicLink => Qid.SymbolicLink,
                _ => Qid.File,
            };
            Span<byte> entry = _destination[Length..];
            entry[0] = idType;
            System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(entry[1..], 0);
            System.Buffers.Binary.BinaryPrimitives.WriteUInt64LittleEndian(entry[5..], path);
            System.Buffers.Binary.BinaryPrimitives.WriteUInt64LittleEndian(entry[13..], offset);
            entry[21] = type;
            System.Buffers.Binary.BinaryPrimitives.WriteUInt16LittleEndian(entry[22..], (ushort)name.Length);
            name.CopyTo(entry[24..]);
            Length += size;
            return true;
        }
    }
}
