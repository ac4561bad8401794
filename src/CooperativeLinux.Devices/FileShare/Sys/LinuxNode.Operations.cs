using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.LinuxFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>Finding, making, opening and removing.</summary>
internal sealed unsafe partial class LinuxNode
{
    private const int LongestLink = 4096;

    private delegate Errno PathOperation(byte* path);

    public override Errno GetStatus(out FileStatus status)
    {
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            status = default;
            return error != Errno.None ? error : GetStatus(hold.Descriptor, out status);
        }
    }

    public override Errno Open(FileOpenMode mode, out HostFile? file)
    {
        file = null;

        // The type is that of the file held: opening a FIFO or device would have effects of its own.
        if (_type is not (FileStatus.Regular or FileStatus.Directory))
        {
            return _type == FileStatus.SymbolicLink ? Errno.ELOOP : Errno.ENXIO;
        }

        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            return error != Errno.None ? error : Reopen(hold.Descriptor, mode, out file);
        }
    }

    public override Errno Create(
        FileName name, FileOpenMode mode, uint permissions, bool isExclusive, out HostNode? node, out HostFile? file, out bool isNew)
    {
        node = null;
        file = null;
        isNew = false;
        Errno error = TryHoldToMake(out LinuxHandleHold hold);
        if (error != Errno.None)
        {
            return error;
        }

        using (hold)
        {
            int descriptor;
            fixed (byte* path = name.Terminated)
            {
                descriptor = OpenAt(hold.Descriptor, path, Flags(mode) | LinuxFileCalls.Create | Exclusive | NoFollow, permissions);
            }

            if (descriptor >= 0)
            {
                isNew = true;
                return FinishCreation(name, new SafeFileHandle(descriptor, ownsHandle: true), permissions, out node, out file);
            }

            error = LastError;
        }

        if (error != Errno.EEXIST || isExclusive)
        {
            return error;
        }

        error = Find(name, out node, out _);
        if (error == Errno.None)
        {
            error = node!.Open(mode, out file);
            if (error != Errno.None)
            {
                node.Release();
                node = null;
            }
        }

        return error;
    }

    public override Errno MakeDirectory(FileName name, uint permissions) =>
        Make(name, permissions, (folder, path, mode) => MakeDirectoryAt(folder, (byte*)path, mode));

    public override Errno MakeSpecial(FileName name, uint mode) =>
        Make(name, mode, (folder, path, fullMode) => MakeNodeAt(folder, (byte*)path, fullMode, 0));

    public override Errno MakeSymbolicLink(FileName name, ReadOnlySpan<byte> target)
    {
        if (target.IsEmpty || target.Contains((byte)0))
        {
            return target.IsEmpty ? Errno.ENOENT : Errno.EINVAL;
        }

        Errno error = TryHoldToMake(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            byte[] terminated = new byte[target.Length + 1];
            target.CopyTo(terminated);
            fixed (byte* targetPath = terminated, path = name.Terminated)
            {
                return Result(SymbolicLinkAt(targetPath, hold.Descriptor, path));
            }
        }
    }

    public override Errno Link(HostNode target, FileName name)
    {
        if (target is not LinuxNode node || node._folder != _folder)
        {
            return Errno.EXDEV;
        }

        Errno error = TryHoldToMake(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            int folder = hold.Descriptor;
            return node.OnPath(source =>
            {
                fixed (byte* path = name.Terminated)
                {
                    return Result(LinkAt(CurrentFolder, source, folder, path, SymlinkFollow));
                }
            });
        }
    }

    public override Errno ReadLink(out byte[] target)
    {
        target = [];
        if (_type != FileStatus.SymbolicLink)
        {
            return Errno.EINVAL;
        }

        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            byte empty = 0;
            byte* buffer = stackalloc byte[LongestLink];
            nint length = ReadLinkAt(hold.Descriptor, &empty, buffer, LongestLink);
            if (length < 0)
            {
                return LastError;
            }

            target = new ReadOnlySpan<byte>(buffer, (int)length).ToArray();
            return Errno.None;
        }
    }

    public override Errno Unlink(FileName name, bool isDirectory)
    {
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            fixed (byte* path = name.Terminated)
            {
                return Result(UnlinkAt(hold.Descriptor, path, isDirectory ? RemoveDirectory : 0));
            }
        }
    }

    public override Errno UnlinkSelf() => OnOwnName((parent, name) => parent.Unlink(name, _type == FileStatus.Directory));

    public override Errno Rename(FileName name, HostNode newFolder, FileName newName)
    {
        if (newFolder is not LinuxNode target || target._folder != _folder)
        {
            return Errno.EXDEV;
        }

        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            error = target.TryHold(out LinuxHandleHold targetHold);
            using (targetHold)
            {
                if (error != Errno.None)
                {
                    return error;
                }

                lock (_folder.RenameGate)
                {
                    fixed (byte* path = name.Terminated, newPath = newName.Terminated)
                    {
                        error = Result(RenameAt(hold.Descriptor, path, targetHold.Descriptor, newPath));
                    }

                    if (error == Errno.None)
                    {
                        MoveChild(name, target, newName);
                    }

                    return error;
                }
            }
        }
    }

    public override Errno RenameSelf(HostNode newFolder, FileName newName) =>
        OnOwnName((parent, name) => parent.Rename(name, newFolder, newName));

    public override Errno GetFileSystemStatus(out FileSystemStatus status)
    {
        status = default;
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            FileSystemResult result;
            if (StatFileSystem(hold.Descriptor, &result) != 0)
            {
                return LastError;
            }

            status = new FileSystemStatus(
                (uint)result.BlockSize, result.Blocks, result.Free, result.Available, result.Files, result.FreeFiles, (uint)result.NameLength);
            return Errno.None;
        }
    }

    private static int Flags(FileOpenMode mode)
    {
        int flags = NoTerminal | NonBlocking | CloseOnExec;
        flags |= mode.HasFlag(FileOpenMode.ReadWrite) ? ReadWrite : mode.HasFlag(FileOpenMode.Write) ? WriteOnly : 0;
        flags |= mode.HasFlag(FileOpenMode.Truncate) ? Truncate : 0;
        flags |= mode.HasFlag(FileOpenMode.Append) ? Append : 0;
        flags |= mode.HasFlag(FileOpenMode.DataSync) ? DataSync : 0;
        flags |= mode.HasFlag(FileOpenMode.Sync) ? LinuxFileCalls.Sync : 0;
        return flags | (mode.HasFlag(FileOpenMode.Directory) ? LinuxFileCalls.Directory : 0);
    }

    private static Errno Result(int value) => value < 0 ? LastError : Errno.None;

    private static Errno Reopen(int descriptor, FileOpenMode mode, out HostFile? file)
    {
        LinuxDescriptorPath path = LinuxDescriptorPath.Of(descriptor);
        int opened = OpenAt(CurrentFolder, (byte*)&path, Flags(mode), 0);
        file = opened < 0 ? null : new LinuxFile(new SafeFileHandle(opened, ownsHandle: true));
        return opened < 0 ? LastError : Errno.None;
    }

    private Errno FinishCreation(FileName name, SafeFileHandle opened, uint permissions, out HostNode? node, out HostFile? file)
    {
        node = null;
        file = null;
        int descriptor = (int)opened.DangerousGetHandle();
        Errno error = (permissions & _folder.CreationMask) == 0 ? Errno.None : Result(ChangeFileMode(descriptor, permissions & FileStatus.PermissionMask));
        LinuxDescriptorPath path = LinuxDescriptorPath.Of(descriptor);
        if (error == Errno.None)
        {
            error = GetStatus(descriptor, out FileStatus status);
            int held = error != Errno.None ? -1 : OpenAt(CurrentFolder, (byte*)&path, PathOnly | CloseOnExec, 0);
            error = error != Errno.None ? error : held < 0 ? LastError : Adopt(name, new SafeFileHandle(held, ownsHandle: true), status, out node);
        }

        if (error == Errno.None)
        {
            file = new LinuxFile(opened);
        }
        else
        {
            opened.Dispose();
        }

        return error;
    }

    // What lies too deep could be made and then not be found.
    private Errno TryHoldToMake(out LinuxHandleHold hold)
    {
        hold = default;
        return Volatile.Read(ref _depth) >= LinuxFolder.MaxDepth ? Errno.ENAMETOOLONG : TryHold(out hold);
    }

    private Errno Make(FileName name, uint mode, Func<int, nint, uint, int> make)
    {
        Errno error = TryHoldToMake(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            fixed (byte* path = name.Terminated)
            {
                if (make(hold.Descriptor, (nint)path, mode) != 0)
                {
                    return LastError;
                }
            }
        }

        if ((mode & _folder.CreationMask) != 0 && Find(name, out HostNode? node, out _) == Errno.None)
        {
            node!.SetPermissions(mode);
            node.Release();
        }

        return Errno.None;
    }

    /// <summary>Runs an operation on a path that leads to this very file.</summary>
    private Errno OnPath(PathOperation operation)
    {
        Errno error = TryHold(out LinuxHandleHold hold);
        using (hold)
        {
            if (error != Errno.None)
            {
                return error;
            }

            LinuxDescriptorPath path = LinuxDescriptorPath.Of(hold.Descriptor);
            return operation((byte*)&path);
        }
    }

    /// <summary>Runs an operation on the name by which this file was found, if it still has it.</summary>
    private Errno OnOwnName(Func<LinuxNode, FileName, Errno> operation)
    {
        LinuxNode parent;
        FileName name;
        lock (_folder.Gate)
        {
            if (_parent is null)
            {
                return Errno.EBUSY;
            }

            (parent, name) = (_parent, _name);
            parent._holders++;
        }

        try
        {
            Errno error = parent.TryHold(out LinuxHandleHold hold);
            using (hold)
            {
                if (error != Errno.None)
                {
                    return error;
                }

                FileStatus status;
                fixed (byte* path = name.Terminated)
                {
                    error = GetStatus(hold.Descriptor, path, SymlinkNoFollow, out status);
                }

                return error != Errno.None ? error : Is(status) ? operation(parent, name) : Errno.ESTALE;
            }
        }
        finally
        {
            parent.Release();
        }
    }
}
