using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.WindowsFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>A file known by its place below a <see cref="WindowsFolder"/> and by its number. This part finds and opens.</summary>
internal sealed partial class WindowsNode : HostNode
{
    private readonly WindowsFolder _folder;
    private string _relative;
    private ulong _number;
    private SafeFileHandle? _opened;
    private int _holders = 1;

    /// <param name="folder">The shared folder.</param>
    /// <param name="relative">Its place.</param>
    /// <param name="number">Its number, or 0 to take any file that is there.</param>
    public WindowsNode(WindowsFolder folder, string relative, ulong number)
    {
        _folder = folder;
        _relative = relative;
        _number = number;
        folder.Add(this);
    }

    /// <summary>Names with <see cref="WindowsFolder.Separator"/> between; changes with renames.</summary>
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
        int end = Relative.LastIndexOf(WindowsFolder.Separator);
        return new WindowsNode(_folder, end < 0 ? "" : Relative[..end], 0);
    }

    public override Errno GetStatus(out FileStatus status)
    {
        // What is open stays that file when its name is gone.
        if (_opened is { IsClosed: false } opened && WindowsStatus.Read(opened, out status) == Errno.None)
        {
            return Errno.None;
        }

        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryOpenSelf(ReadAttributes, 0, out SafeFileHandle? handle, out status);
        handle?.Dispose();
        return error;
    }

    public override Errno Find(FileName name, out HostNode? node, out FileStatus status)
    {
        node = null;
        status = default;
        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryPlace(name, out string relative);
        if (error != Errno.None)
        {
            return error;
        }

        error = TryOpenExisting(relative, ReadAttributes, 0, out SafeFileHandle? handle, out status);
        handle?.Dispose();
        if (error == Errno.None)
        {
            node = new WindowsNode(_folder, relative, status.Inode);
        }

        return error;
    }

    public override Errno Open(FileOpenMode mode, out HostFile? file)
    {
        file = null;
        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryOpenSelf(ReadAttributes, 0, out SafeFileHandle? look, out FileStatus status);
        using (look)
        {
            if (error == Errno.None)
            {
                error = WhyNotOpened(status, mode);
            }

            return error == Errno.None ? OpenChecked(look!, status, mode, out file) : error;
        }
    }

    public override Errno Create(
        FileName name, FileOpenMode mode, uint permissions, bool isExclusive, out HostNode? node, out HostFile? file, out bool isNew)
    {
        node = null;
        file = null;
        isNew = false;
        using WindowsFolder.GateHold gate = _folder.EnterShared();
        Errno error = TryPlace(name, out string relative);
        if (error != Errno.None)
        {
            return error;
        }

        uint attributes = (permissions & OwnerWrite) == 0 ? ReadOnlyAttribute : NormalAttribute;
        error = _folder.TryOpen(
            relative, AccessOf(mode), isExclusive ? CreateNew : OpenOrCreate, FileOnly | OptionsOf(mode), attributes, out SafeFileHandle? handle, out isNew);
        FileStatus status = default;
        if (error == Errno.None)
        {
            error = WindowsStatus.Read(handle!, out status);
        }

        WindowsNode made = new(_folder, relative, status.Inode);
        if (error == Errno.None && !isNew)
        {
            // It was there: then it may be anything, and is not shortened before it is known not to be a link.
            error = WhyNotOpened(status, mode);
            if (error == Errno.None)
            {
                error = made.OpenChecked(handle!, status, mode, out file);
            }

            handle!.Dispose();
        }
        else if (error == Errno.None)
        {
            file = made.Wrap(handle!, isFolder: false, mode);
        }
        else
        {
            handle?.Dispose();
        }

        if (error != Errno.None)
        {
            made.Release();
            return error;
        }

        node = made;
        return Errno.None;
    }

    private static Errno WhyNotOpened(in FileStatus status, FileOpenMode mode) => status.Type switch
    {
        FileStatus.SymbolicLink => Errno.ELOOP,
        FileStatus.Directory => (mode & (FileOpenMode.Write | FileOpenMode.ReadWrite | FileOpenMode.Truncate)) == 0 ? Errno.None : Errno.EISDIR,
        FileStatus.Regular => mode.HasFlag(FileOpenMode.Directory) ? Errno.ENOTDIR : Errno.None,
        _ => Errno.ENXIO,
    };

    private static uint AccessOf(FileOpenMode mode) =>
        ReadAttributes | (mode.HasFlag(FileOpenMode.ReadWrite) ? ReadData | WriteData : mode.HasFlag(FileOpenMode.Write) ? WriteData : ReadData);

    private static uint OptionsOf(FileOpenMode mode) => (mode & (FileOpenMode.Sync | FileOpenMode.DataSync)) != 0 ? WriteThrough : 0;

    /// <summary>Opens a file that was looked at, by what was looked at and not by its name. It is no link, and so no longer kept from being
    /// followed: files whose content is elsewhere, such as compressed ones, are read as Windows reads them.</summary>
    private Errno OpenChecked(SafeFileHandle look, in FileStatus status, FileOpenMode mode, out HostFile? file)
    {
        file = null;
        uint kind = status.IsDirectory ? FolderOnly : FileOnly;
        Errno error = WindowsFileCalls.Open(look, "", AccessOf(mode), OpenExisting, kind | OptionsOf(mode), NormalAttribute, out SafeFileHandle? handle, out _);
        if (error != Errno.None)
        {
            return error;
        }

        file = Wrap(handle!, status.IsDirectory, mode);
        if (mode.HasFlag(FileOpenMode.Truncate) && (mode & (FileOpenMode.Write | FileOpenMode.ReadWrite)) != 0 && status.Size != 0)
        {
            error = file.SetSize(0);
        }

        if (error != Errno.None)
        {
            file.Dispose();
            file = null;
        }

        return error;
    }

    private WindowsFile Wrap(SafeFileHandle handle, bool isFolder, FileOpenMode mode)
    {
        _opened = handle;
        return new WindowsFile(handle, isFolder, mode.HasFlag(FileOpenMode.Append));
    }

    /// <summary>Opens this file, if it is still the same. Under the gate.</summary>
    private Errno TryOpenSelf(uint access, uint options, out SafeFileHandle? handle, out FileStatus status)
    {
        Errno error = TryOpenExisting(Relative, access, options, out handle, out status);
        if (error == Errno.None && status.Inode != _number && Interlocked.CompareExchange(ref _number, status.Inode, 0) != 0)
        {
            handle!.Dispose();
            handle = null;
            return Errno.ESTALE;
        }

        return error;
    }

    private Errno TryOpenExisting(string relative, uint access, uint options, out SafeFileHandle? handle, out FileStatus status)
    {
        status = default;
        Errno error = _folder.TryOpen(relative, access | ReadAttributes, OpenExisting, options, NormalAttribute, out handle, out _);
        if (error == Errno.None)
        {
            error = WindowsStatus.Read(handle!, out status);
            if (error != Errno.None)
            {
                handle!.Dispose();
                handle = null;
            }
        }

        return error;
    }

    /// <summary>The place of a name in this folder.</summary>
    private Errno TryPlace(FileName name, out string relative)
    {
        Errno error = WindowsNames.TryEncode(name, out string text);
        relative = Relative.Length == 0 ? text : Relative + WindowsFolder.Separator + text;
        return error;
    }
}
