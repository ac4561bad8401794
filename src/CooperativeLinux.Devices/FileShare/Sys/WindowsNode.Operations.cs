using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.WindowsFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>This part changes things.</summary>
internal sealed unsafe partial class WindowsNode
{
    // S_IWUSR, all that Windows knows of permissions.
    private const uint OwnerWrite = 0b010_000_000;

    public override Errno MakeDirectory(FileName name, uint permissions)
    {
        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryPlace(name, out string relative);
        if (error == Errno.None)
        {
            error = _folder.TryOpen(relative, ReadAttributes, CreateNew, FolderOnly, NormalAttribute, out SafeFileHandle? handle, out _);
            handle?.Dispose();
        }

        return error;
    }

    public override Errno MakeSpecial(FileName name, uint mode) => Errno.EPERM;

    public override Errno MakeSymbolicLink(FileName name, ReadOnlySpan<byte> target)
    {
        if (target.IsEmpty || target.Contains((byte)0))
        {
            return Errno.EINVAL;
        }

        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryPlace(name, out string relative);
        if (error != Errno.None)
        {
            return error;
        }

        error = _folder.TryOpen(relative, WriteData | WriteAttributes | Delete, CreateNew, FileOnly, NormalAttribute, out SafeFileHandle? handle, out _);
        using (handle)
        {
            if (error == Errno.None)
            {
                error = WindowsReparse.WriteLink(handle!, target);
                if (error != Errno.None)
                {
                    Remove(handle!, relative);
                }
            }
        }

        return error;
    }

    public override Errno Link(HostNode target, FileName name)
    {
        if (target is not WindowsNode node || node._folder != _folder)
        {
            return Errno.EXDEV;
        }

        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryPlace(name, out string relative);
        if (error != Errno.None)
        {
            return error;
        }

        error = node.TryOpenSelf(WriteAttributes, 0, out SafeFileHandle? handle, out FileStatus status);
        using (handle)
        {
            if (error == Errno.None)
            {
                error = status.IsDirectory ? Errno.EPERM : _folder.TryOpenFolderOf(relative, out SafeFileHandle folder, out string text) is var found && found != Errno.None
                    ? found : SetLink(handle!, folder, text);
            }
        }

        return error;
    }

    public override Errno ReadLink(out byte[] target)
    {
        target = [];
        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryOpenSelf(0, 0, out SafeFileHandle? handle, out FileStatus status);
        using (handle)
        {
            return error != Errno.None ? error : status.Type == FileStatus.SymbolicLink ? WindowsReparse.ReadLink(handle!, out target) : Errno.EINVAL;
        }
    }

    public override Errno Unlink(FileName name, bool isDirectory)
    {
        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryPlace(name, out string relative);
        if (error != Errno.None)
        {
            return error;
        }

        error = TryOpenExisting(relative, Delete, 0, out SafeFileHandle? handle, out FileStatus status);
        using (handle)
        {
            return error != Errno.None ? error
                : status.IsDirectory != isDirectory ? (isDirectory ? Errno.ENOTDIR : Errno.EISDIR)
                : Remove(handle!, relative);
        }
    }

    public override Errno UnlinkSelf()
    {
        if (Relative.Length == 0)
        {
            return Errno.EBUSY;
        }

        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryOpenSelf(Delete, 0, out SafeFileHandle? handle, out _);
        using (handle)
        {
            return error == Errno.None ? Remove(handle!, Relative) : error;
        }
    }

    public override Errno Rename(FileName name, HostNode newFolder, FileName newName)
    {
        using WindowsFolder.GateHold gate = _folder.EnterAlone();
        Errno error = TryPlace(name, out string relative);
        return error == Errno.None ? Move(relative, newFolder, newName) : error;
    }

    public override Errno RenameSelf(HostNode newFolder, FileName newName)
    {
        using WindowsFolder.GateHold gate = _folder.EnterAlone();
        return Relative.Length == 0 ? Errno.EBUSY : Move(Relative, newFolder, newName);
    }

    public override Errno SetPermissions(uint permissions) => Change((handle, status) =>
        status.Type == FileStatus.SymbolicLink ? Errno.EOPNOTSUPP
            : status.IsDirectory ? Errno.None
            : SetReadOnly(handle, status, (permissions & OwnerWrite) == 0));

    public override Errno SetOwner(uint user, uint group) => Errno.EPERM;

    public override Errno SetSize(ulong size)
    {
        Errno error = Open(FileOpenMode.Write, out HostFile? file);
        using (file)
        {
            return error == Errno.None ? file!.SetSize(size) : error == Errno.ELOOP ? Errno.EINVAL : error;
        }
    }

    public override Errno SetTimes(in FileTimes times)
    {
        FileTimes wanted = times;
        return Change((handle, _) =>
        {
            long now = DateTime.UtcNow.ToFileTimeUtc();
            return Set(handle, new BasicInformationData
            {
                Accessed = wanted.Accessed is FileTime accessed ? WindowsStatus.ToTicks(accessed) : wanted.IsAccessedNow ? now : 0,
                Modified = wanted.Modified is FileTime modified ? WindowsStatus.ToTicks(modified) : wanted.IsModifiedNow ? now : 0,
            });
        });
    }

    public override Errno GetExtendedAttribute(ReadOnlySpan<byte> name, out byte[] value)
    {
        value = [];
        return Errno.EOPNOTSUPP;
    }

    public override Errno SetExtendedAttribute(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags) => Errno.EOPNOTSUPP;

    public override Errno RemoveExtendedAttribute(ReadOnlySpan<byte> name) => Errno.EOPNOTSUPP;

    public override Errno ListExtendedAttributes(out byte[] names)
    {
        names = [];
        return Errno.None;
    }

    public override Errno GetFileSystemStatus(out FileSystemStatus status) => _folder.GetFileSystemStatus(out status);

    /// <returns>Whether it is a file, and now another one than it was.</returns>
    private bool TrySetReadOnly(string relative, bool isReadOnly)
    {
        if (TryOpenExisting(relative, WriteAttributes, 0, out SafeFileHandle? handle, out FileStatus status) != Errno.None)
        {
            return false;
        }

        using (handle)
        {
            return status.IsRegular && isReadOnly != ((status.Mode & OwnerWrite) == 0) && SetReadOnly(handle!, status, isReadOnly) == Errno.None;
        }
    }

    private static Errno SetReadOnly(SafeFileHandle handle, in FileStatus status, bool isReadOnly)
    {
        // Only what is another one than now, so that other attributes stay.
        if (isReadOnly == ((status.Mode & OwnerWrite) == 0))
        {
            return Errno.None;
        }

        BasicInformationData data = default;
        IoStatus io = default;
        Errno error = WindowsErrors.Translate(NtQueryInformationFile(handle, &io, &data, (uint)sizeof(BasicInformationData), BasicInformation));
        uint attributes = isReadOnly ? data.Attributes | ReadOnlyAttribute : data.Attributes & ~ReadOnlyAttribute;

        // Zero would leave them all.
        data = new BasicInformationData { Attributes = attributes == 0 ? NormalAttribute : attributes };
        return error == Errno.None ? Set(handle, data) : error;
    }

    private static Errno Set(SafeFileHandle handle, BasicInformationData data)
    {
        IoStatus io = default;
        return WindowsErrors.Translate(NtSetInformationFile(handle, &io, &data, (uint)sizeof(BasicInformationData), BasicInformation));
    }

    /// <summary>Removes an open file's name at once, as Linux does; where Windows cannot, when the last user closes it.</summary>
    private Errno Remove(SafeFileHandle handle, string relative)
    {
        IoStatus io = default;
        uint flags = DispositionDelete | DispositionPosix | DispositionIgnoreReadOnly;
        uint result = NtSetInformationFile(handle, &io, &flags, sizeof(uint), DispositionInformationEx);
        result = IsUnknownForm(result) ? RemoveLater(handle) : result;
        if (result == StatusCannotDelete && TrySetReadOnly(relative, isReadOnly: false))
        {
            result = RemoveLater(handle);
            _ = !IsSuccess(result) && TrySetReadOnly(relative, isReadOnly: true);
        }

        return WindowsErrors.Translate(result);
    }

    private static uint RemoveLater(SafeFileHandle handle)
    {
        IoStatus io = default;
        byte isDeleted = 1;
        return NtSetInformationFile(handle, &io, &isDeleted, sizeof(byte), DispositionInformation);
    }

    private Errno SetLink(SafeFileHandle file, SafeFileHandle folder, string name)
    {
        try
        {
            return WindowsErrors.Translate(SetName(file, LinkInformation, 0, folder, name));
        }
        finally
        {
            _folder.Close(folder);
        }
    }

    private Errno Change(Func<SafeFileHandle, FileStatus, Errno> change)
    {
        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryOpenSelf(WriteAttributes, 0, out SafeFileHandle? handle, out FileStatus status);
        using (handle)
        {
            return error == Errno.None ? change(handle!, status) : error;
        }
    }

    /// <summary>Renames; alone in the gate.</summary>
    private Errno Move(string relative, HostNode newFolder, FileName newName)
    {
        if (newFolder is not WindowsNode target || target._folder != _folder)
        {
            return Errno.EXDEV;
        }

        Errno error = target.TryPlace(newName, out string newRelative);
        if (error != Errno.None || newRelative == relative)
        {
            return error;
        }

        if (newRelative.StartsWith(relative + WindowsFolder.Separator, StringComparison.OrdinalIgnoreCase))
        {
            return Errno.EINVAL;
        }

        error = TryOpenExisting(relative, Delete, 0, out SafeFileHandle? handle, out FileStatus status);
        if (error != Errno.None)
        {
            return error;
        }

        using (handle)
        {
            bool isOtherCase = newRelative.Equals(relative, StringComparison.OrdinalIgnoreCase);
            error = isOtherCase ? Errno.None : MakeRoom(newRelative, status, out bool isSame) is var made && (made != Errno.None || isSame) ? made : Errno.None;
            return error != Errno.None ? error : MoveOpen(handle!, status.IsDirectory, relative, newRelative);
        }
    }

    /// <summary>Checks what has the new name of a file that is renamed, and removes a folder, which Windows does not replace.</summary>
    private Errno MakeRoom(string newRelative, in FileStatus source, out bool isSame)
    {
        isSame = false;
        Errno error = TryOpenExisting(newRelative, 0, 0, out SafeFileHandle? handle, out FileStatus taken);
        handle?.Dispose();
        if (error != Errno.None)
        {
            return error == Errno.ENOENT ? Errno.None : error;
        }

        isSame = taken.Inode == source.Inode;
        if (isSame || source.IsDirectory != taken.IsDirectory)
        {
            return isSame ? Errno.None : source.IsDirectory ? Errno.ENOTDIR : Errno.EISDIR;
        }

        if (!taken.IsDirectory)
        {
            return Errno.None;
        }

        error = TryOpenExisting(newRelative, Delete, FolderOnly, out handle, out _);
        using (handle)
        {
            return error == Errno.None ? Remove(handle!, newRelative) : error;
        }
    }

    private Errno MoveOpen(SafeFileHandle handle, bool isFolder, string relative, string newRelative)
    {
        Errno error = _folder.TryOpenFolderOf(newRelative, out SafeFileHandle folder, out string name);
        if (error != Errno.None)
        {
            return error;
        }

        try
        {
            uint result = SetName(handle, RenameInformationEx, RenameReplace | RenamePosix | RenameIgnoreReadOnly, folder, name);
            if (IsUnknownForm(result) || result == StatusAccessDenied)
            {
                // The older form replaces nothing that is read-only.
                bool wasReadOnly = TrySetReadOnly(newRelative, isReadOnly: false);
                result = SetName(handle, RenameInformation, 1, folder, name);
                _ = wasReadOnly && !IsSuccess(result) && TrySetReadOnly(newRelative, isReadOnly: true);
            }

            error = WindowsErrors.Translate(result);
        }
        finally
        {
            _folder.Close(folder);
        }

        if (error == Errno.None)
        {
            _folder.Follow(relative, newRelative);
        }

        // A folder with open files in it keeps its name.
        return error == Errno.EACCES && isFolder ? Errno.EBUSY : error;
    }

    /// <summary>FILE_BASIC_INFORMATION; zero leaves a field as it is.</summary>
    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Sequential)]
    private struct BasicInformationData
    {
        public long Made;
        public long Accessed;
        public long Modified;
        public long Changed;
        public uint Attributes;
        public uint Unused;
    }
}
