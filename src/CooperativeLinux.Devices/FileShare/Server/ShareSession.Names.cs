using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>Making, linking, renaming and removing.</summary>
internal sealed partial class ShareSession
{
    // AT_REMOVEDIR, the only flag of Tunlinkat.
    private const uint RemoveDirectoryFlag = 0x200;

    private delegate Errno FolderOperation(HostNode folder, FileName name);

    private Errno MakeDirectory(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        Errno nameError = FileName.TryCreate(exchange.Fields.ReadString(), out FileName name);
        uint permissions = exchange.Fields.ReadUInt32() & FileStatus.PermissionMask;
        uint group = exchange.Fields.ReadUInt32();
        return Make(ref exchange, number, (nameError, name), (group, permissions), (folder, newName) => folder.MakeDirectory(newName, permissions));
    }

    private Errno SymbolicLink(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        Errno nameError = FileName.TryCreate(exchange.Fields.ReadString(), out FileName name);
        byte[] target = exchange.Fields.ReadString().ToArray();
        uint group = exchange.Fields.ReadUInt32();
        return Make(ref exchange, number, (nameError, name), (group, 0), (folder, newName) => folder.MakeSymbolicLink(newName, target));
    }

    private Errno MakeNode(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        Errno nameError = FileName.TryCreate(exchange.Fields.ReadString(), out FileName name);
        uint mode = exchange.Fields.ReadUInt32() & (FileStatus.TypeMask | FileStatus.PermissionMask);
        exchange.Fields.ReadUInt64();
        uint group = exchange.Fields.ReadUInt32();
        uint permissions = mode & FileStatus.PermissionMask;
        FolderOperation make = (mode & FileStatus.TypeMask) switch
        {
            0 or FileStatus.Regular => (folder, newName) => MakeEmptyFile(folder, newName, _owners.HostPermissions(permissions)),
            FileStatus.Fifo or FileStatus.Socket => (folder, newName) => folder.MakeSpecial(newName, mode & ~(FileStatus.SetUserId | FileStatus.SetGroupId)),
            _ => (_, _) => Errno.EPERM,
        };
        return Make(ref exchange, number, (nameError, name), (group, permissions), make);
    }

    private static Errno MakeEmptyFile(HostNode folder, FileName name, uint permissions)
    {
        Errno error = folder.Create(name, FileOpenMode.Write, permissions, isExclusive: true, out HostNode? node, out HostFile? file, out _);
        file?.Dispose();
        node?.Release();
        return error;
    }

    /// <summary>Makes something in a folder, notes whose it is, and answers with its identity.</summary>
    private Errno Make(
        ref Exchange exchange, uint number, (Errno Error, FileName Value) name, (uint Group, uint Permissions) wanted, FolderOperation make)
    {
        if (!exchange.Fields.IsIntact || name.Error != Errno.None)
        {
            return exchange.Fields.IsIntact ? name.Error : Errno.EINVAL;
        }

        if (_options.IsReadOnly)
        {
            return Errno.EROFS;
        }

        if (!_fids.TryTake(number, out Fid? folder))
        {
            return Errno.EBADF;
        }

        try
        {
            Errno error = make(folder.Node, name.Value);
            if (error != Errno.None)
            {
                return error;
            }

            error = folder.Node.Find(name.Value, out HostNode? node, out FileStatus status);
            if (error != Errno.None)
            {
                return error;
            }

            _owners.NoteCreation(node!, folder.User, wanted.Group, status.IsRegular ? wanted.Permissions : 0);
            node!.Release();
            exchange.Answer.Write(IdOf(status));
            return Errno.None;
        }
        finally
        {
            folder.Release();
        }
    }

    private Errno Link(ref Exchange exchange)
    {
        uint folderNumber = exchange.Fields.ReadUInt32();
        uint number = exchange.Fields.ReadUInt32();
        Errno error = FileName.TryCreate(exchange.Fields.ReadString(), out FileName name);
        return Change(ref exchange, error, folderNumber, number, (folder, file) => folder.Link(file, name));
    }

    private Errno RenameAt(ref Exchange exchange)
    {
        uint oldNumber = exchange.Fields.ReadUInt32();
        Errno oldError = FileName.TryCreate(exchange.Fields.ReadString(), out FileName oldName);
        uint newNumber = exchange.Fields.ReadUInt32();
        Errno newError = FileName.TryCreate(exchange.Fields.ReadString(), out FileName newName);
        Errno error = oldError != Errno.None ? oldError : newError;
        return Change(ref exchange, error, oldNumber, newNumber, (folder, newFolder) => folder.Rename(oldName, newFolder, newName));
    }

    private Errno Rename(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        uint newNumber = exchange.Fields.ReadUInt32();
        Errno error = FileName.TryCreate(exchange.Fields.ReadString(), out FileName name);
        return Change(ref exchange, error, number, newNumber, (file, newFolder) => file.RenameSelf(newFolder, name));
    }

    private Errno UnlinkAt(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        Errno error = FileName.TryCreate(exchange.Fields.ReadString(), out FileName name);
        uint flags = exchange.Fields.ReadUInt32();
        error = error == Errno.None && (flags & ~RemoveDirectoryFlag) != 0 ? Errno.EINVAL : error;
        return Change(ref exchange, error, number, number, (folder, _) => folder.Unlink(name, flags != 0));
    }

    private Errno Remove(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        Errno error = Change(ref exchange, Errno.None, number, number, (file, _) => file.UnlinkSelf());

        // The fid goes, whether the file does or not.
        if (_fids.TryRemove(number, out Fid? fid))
        {
            _locks.ReleaseOf(fid);
            fid.Release();
        }

        return error;
    }

    private Errno ReadLink(ref Exchange exchange)
    {
        uint number = exchange.Fields.ReadUInt32();
        if (!exchange.Fields.IsIntact || !_fids.TryTake(number, out Fid? fid))
        {
            return Errno.EBADF;
        }

        Errno error = fid.Node.ReadLink(out byte[] target);
        fid.Release();
        exchange.Answer.WriteString(target);
        return error;
    }

    /// <summary>Runs an operation on two fids that changes the folder; no fields in the answer.</summary>
    private Errno Change(ref Exchange exchange, Errno error, uint firstNumber, uint secondNumber, Func<HostNode, HostNode, Errno> operation)
    {
        if (!exchange.Fields.IsIntact || error != Errno.None)
        {
            return exchange.Fields.IsIntact ? error : Errno.EINVAL;
        }

        if (_options.IsReadOnly)
        {
            return Errno.EROFS;
        }

        if (!_fids.TryTake(firstNumber, out Fid? first))
        {
            return Errno.EBADF;
        }

        try
        {
            if (!_fids.TryTake(secondNumber, out Fid? second))
            {
                return Errno.EBADF;
            }

            try
            {
                return operation(first.Node, second.Node);
            }
            finally
            {
                second.Release();
            }
        }
        finally
        {
            first.Release();
        }
    }
}
