using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>A file known by its path; see <see cref="PathFolder"/>.</summary>
internal sealed class PathNode : HostNode
{
    private readonly PathFolder _folder;
    private string _relative;
    private int _holders = 1;

    public PathNode(PathFolder folder, string relative)
    {
        _folder = folder;
        _relative = relative;
        folder.Add(this);
    }

    /// <summary>Names joined by '/'; changes with renames.</summary>
    public string Relative
    {
        get => Volatile.Read(ref _relative);
        set => Volatile.Write(ref _relative, value);
    }

    public override void AddHolder() => Interlocked.Increment(ref _holders);

    public override void Release()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
        {
            _folder.Remove(this);
        }
    }

    public override HostNode GetParent()
    {
        int slash = Relative.LastIndexOf('/');
        return new PathNode(_folder, slash < 0 ? "" : Relative[..slash]);
    }

    public override Errno GetStatus(out FileStatus status)
    {
        FileStatus result = default;
        Errno error = On((path, _) => GetStatus(path, out result));
        status = result;
        return error;
    }

    public override Errno Find(FileName name, out HostNode? node, out FileStatus status)
    {
        node = null;
        FileStatus result = default;
        string relative = "";
        Errno error = OnChild(name, (path, child) =>
        {
            relative = child;
            return GetStatus(path, out result);
        });
        status = result;
        if (error == Errno.None)
        {
            node = new PathNode(_folder, relative);
        }

        return error;
    }

    public override Errno Open(FileOpenMode mode, out HostFile? file)
    {
        HostFile? result = null;
        Errno error = On((path, _) => Open(path, mode, FileMode.Open, out result));
        file = result;
        return error;
    }

    public override Errno Create(
        FileName name, FileOpenMode mode, uint permissions, bool isExclusive, out HostNode? node, out HostFile? file, out bool isNew)
    {
        node = null;
        bool isMade = false;
        HostFile? result = null;
        string relative = "";
        Errno error = OnChild(name, (path, child) =>
        {
            relative = child;
            isMade = GetStatus(path, out _) == Errno.ENOENT;
            return !isMade && isExclusive ? Errno.EEXIST : Open(path, mode, isMade ? FileMode.CreateNew : FileMode.Open, out result);
        });
        file = result;
        isNew = isMade && error == Errno.None;
        if (error == Errno.None)
        {
            node = new PathNode(_folder, relative);
        }

        return error;
    }

    public override Errno MakeDirectory(FileName name, uint permissions) => OnNew(name, path => Directory.CreateDirectory(path));

    public override Errno MakeSpecial(FileName name, uint mode) => Errno.EPERM;

    public override Errno MakeSymbolicLink(FileName name, ReadOnlySpan<byte> target)
    {
        string text = Encoding.UTF8.GetString(target);
        return text.Length == 0 || text.Contains('\0') ? Errno.EINVAL : OnNew(name, path =>
        {
            string hostTarget = text.Replace('/', Path.DirectorySeparatorChar);

            // Windows wants to know what the link leads to.
            if (Directory.Exists(Path.Combine(Path.GetDirectoryName(path)!, hostTarget)))
            {
                Directory.CreateSymbolicLink(path, hostTarget);
            }
            else
            {
                File.CreateSymbolicLink(path, hostTarget);
            }
        });
    }

    public override Errno Link(HostNode target, FileName name) => Errno.EPERM;

    public override Errno ReadLink(out byte[] target)
    {
        byte[] result = [];
        Errno error = On((path, _) =>
        {
            string? text = InfoOf(path).LinkTarget;
            result = Encoding.UTF8.GetBytes((text ?? "").Replace('\\', '/'));
            return text is null ? Errno.EINVAL : Errno.None;
        });
        target = result;
        return error;
    }

    public override Errno Unlink(FileName name, bool isDirectory) => OnChild(name, (path, _) => Remove(path, isDirectory));

    public override Errno UnlinkSelf() =>
        Relative.Length == 0 ? Errno.EBUSY : On((path, _) => Remove(path, InfoOf(path) is DirectoryInfo { LinkTarget: null }));

    public override Errno Rename(FileName name, HostNode newFolder, FileName newName) =>
        newFolder is not PathNode target || target._folder != _folder ? Errno.EXDEV
            : OnChild(name, (path, child) => target.OnChild(newName, (newPath, newChild) => Move(path, child, newPath, newChild)));

    public override Errno RenameSelf(HostNode newFolder, FileName newName) =>
        newFolder is not PathNode target || target._folder != _folder ? Errno.EXDEV
            : Relative.Length == 0 ? Errno.EBUSY
            : On((path, child) => target.OnChild(newName, (newPath, newChild) => Move(path, child, newPath, newChild)));

    // Only "may be written" exists.
    public override Errno SetPermissions(uint permissions) => On((path, _) =>
    {
        FileSystemInfo info = InfoOf(path);
        if (info is FileInfo { LinkTarget: null } file)
        {
            file.IsReadOnly = (permissions & 0b010_000_000) == 0;
        }

        return info.LinkTarget is null ? Errno.None : Errno.EOPNOTSUPP;
    });

    public override Errno SetOwner(uint user, uint group) => Errno.EPERM;

    public override Errno SetSize(ulong size)
    {
        Errno error = Open(FileOpenMode.Write, out HostFile? file);
        using (file)
        {
            return error == Errno.None ? file!.SetSize(size) : error;
        }
    }

    public override Errno SetTimes(in FileTimes times)
    {
        FileTimes wanted = times;
        return On((path, _) =>
        {
            FileSystemInfo info = InfoOf(path);
            if (info.LinkTarget is not null)
            {
                return Errno.EOPNOTSUPP;
            }

            if (wanted.Accessed is not null || wanted.IsAccessedNow)
            {
                info.LastAccessTimeUtc = ToDate(wanted.Accessed);
            }

            if (wanted.Modified is not null || wanted.IsModifiedNow)
            {
                info.LastWriteTimeUtc = ToDate(wanted.Modified);
            }

            return Errno.None;
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

    public override Errno GetFileSystemStatus(out FileSystemStatus status)
    {
        FileSystemStatus result = default;
        Errno error = On((_, _) =>
        {
            const uint BlockSize = 4096;
            DriveInfo drive = new(OperatingSystem.IsWindows() ? Path.GetPathRoot(_folder.RootPath)! : _folder.RootPath);
            result = new FileSystemStatus(
                BlockSize, (ulong)drive.TotalSize / BlockSize, (ulong)drive.TotalFreeSpace / BlockSize, (ulong)drive.AvailableFreeSpace / BlockSize, 0, 0, FileName.MaxLength);
            return Errno.None;
        });
        status = result;
        return error;
    }

    /// <summary>What a path's file says of itself; links are not followed.</summary>
    internal Errno GetStatus(string path, out FileStatus status)
    {
        FileSystemInfo info = InfoOf(path);
        status = default;
        if (!info.Exists && info.LinkTarget is null)
        {
            return Errno.ENOENT;
        }

        const uint AllPermissions = 0b111_101_101, WriteBits = 0b010_010_010;
        bool isOtherReparsePoint = info.LinkTarget is null && info.Attributes.HasFlag(FileAttributes.ReparsePoint);
        uint type = info.LinkTarget is not null ? FileStatus.SymbolicLink
            : isOtherReparsePoint ? FileStatus.Socket
            : info is DirectoryInfo ? FileStatus.Directory : FileStatus.Regular;
        bool isReadOnly = info is FileInfo { IsReadOnly: true };
        ulong size = info is FileInfo { LinkTarget: null } file ? (ulong)file.Length : (ulong)(info.LinkTarget?.Length ?? 0);
        status = new FileStatus
        {
            Mode = type | (type == FileStatus.SymbolicLink ? 0b111_111_111 : isReadOnly ? AllPermissions & ~WriteBits : AllPermissions),
            Links = 1,
            Size = size,
            BlockSize = 4096,
            Blocks = (size + 511) / 512,
            Accessed = ToTime(info.LastAccessTimeUtc),
            Modified = ToTime(info.LastWriteTimeUtc),
            Changed = ToTime(info.LastWriteTimeUtc),
            Device = _folder.Device,
            Inode = PathErrors.NumberOf(path),
        };
        return Errno.None;
    }

    private static FileSystemInfo InfoOf(string path)
    {
        DirectoryInfo folder = new(path);
        return (int)folder.Attributes != -1 && folder.Attributes.HasFlag(FileAttributes.Directory) ? folder : new FileInfo(path);
    }

    private static FileTime ToTime(DateTime time)
    {
        long ticks = (time - DateTime.UnixEpoch).Ticks;
        (long seconds, long rest) = Math.DivRem(ticks, TimeSpan.TicksPerSecond);
        return rest < 0 ? new FileTime(seconds - 1, (uint)(rest + TimeSpan.TicksPerSecond) * 100) : new FileTime(seconds, (uint)rest * 100);
    }

    private static DateTime ToDate(FileTime? time) =>
        time is FileTime set ? DateTime.UnixEpoch.AddSeconds(set.Seconds).AddTicks(set.Nanoseconds / 100) : DateTime.UtcNow;

    private static Errno Remove(string path, bool isDirectory)
    {
        FileSystemInfo info = InfoOf(path);
        if (!info.Exists && info.LinkTarget is null)
        {
            return Errno.ENOENT;
        }

        bool isFolder = info is DirectoryInfo { LinkTarget: null };
        if (isFolder != isDirectory)
        {
            return isFolder ? Errno.EISDIR : Errno.ENOTDIR;
        }

        if (isFolder && Directory.EnumerateFileSystemEntries(path).Any())
        {
            return Errno.ENOTEMPTY;
        }

        if (info is FileInfo { LinkTarget: null, IsReadOnly: true } file)
        {
            file.IsReadOnly = false;
        }

        info.Delete();
        return Errno.None;
    }

    private Errno Open(string path, FileOpenMode mode, FileMode fileMode, out HostFile? file)
    {
        file = null;
        Errno error = fileMode == FileMode.CreateNew ? Errno.None : GetStatus(path, out FileStatus status) is var found && found != Errno.None ? found
            : status.Type switch
            {
                FileStatus.SymbolicLink => Errno.ELOOP,
                FileStatus.Directory => (mode & ~FileOpenMode.Directory) == 0 ? Errno.None : Errno.EISDIR,
                FileStatus.Regular => mode.HasFlag(FileOpenMode.Directory) ? Errno.ENOTDIR : Errno.None,
                _ => Errno.ENXIO,
            };
        if (error == Errno.None)
        {
            file = PathFile.Open(this, path, mode, fileMode);
        }

        return error;
    }

    private Errno Move(string path, string child, string newPath, string newChild)
    {
        if (newChild == child)
        {
            return Errno.None;
        }

        if (newChild.StartsWith(child + "/", StringComparison.Ordinal))
        {
            return Errno.EINVAL;
        }

        Errno error = GetStatus(path, out FileStatus status);
        if (error != Errno.None)
        {
            return error;
        }

        if (GetStatus(newPath, out FileStatus taken) == Errno.None && (status.IsDirectory || taken.IsDirectory))
        {
            error = status.IsDirectory && !taken.IsDirectory ? Errno.ENOTDIR : !status.IsDirectory ? Errno.EISDIR : Remove(newPath, isDirectory: true);
            if (error != Errno.None)
            {
                return error;
            }
        }

        if (status.IsDirectory)
        {
            Directory.Move(path, newPath);
        }
        else
        {
            File.Move(path, newPath, overwrite: true);
        }

        _folder.Follow(child, newChild);
        return Errno.None;
    }

    private Errno OnNew(FileName name, Action<string> make) => OnChild(name, (path, _) =>
    {
        if (GetStatus(path, out FileStatus _) == Errno.None)
        {
            return Errno.EEXIST;
        }

        make(path);
        return Errno.None;
    });

    private Errno OnChild(FileName name, Func<string, string, Errno> operation)
    {
        Errno error = _folder.TryDecode(name, out string text);
        if (error != Errno.None)
        {
            return error;
        }

        string relative = Relative.Length == 0 ? text : $"{Relative}/{text}";
        return Run(relative, operation);
    }

    private Errno On(Func<string, string, Errno> operation) => Run(Relative, operation);

    private Errno Run(string relative, Func<string, string, Errno> operation)
    {
        try
        {
            Errno error = _folder.TryResolve(relative, out string path);
            return error == Errno.None ? operation(path, relative) : error;
        }
        catch (Exception exception) when (PathErrors.TryTranslate(exception, out Errno error))
        {
            return error;
        }
    }
}
