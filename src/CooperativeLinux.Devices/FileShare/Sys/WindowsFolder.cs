using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.WindowsFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>
/// A shared folder on a Windows host. The folder itself is held open; every other file is found from it one name at a time, each relative
/// to the open folder before, never through a reparse point, and never by a path: so none leads out, also not one that is swapped in
/// between two steps. Files that are not open are not held, because Windows renames no folder in which something is: they are found
/// again by their names, and a different file found then gives ESTALE.
/// </summary>
internal sealed class WindowsFolder : HostFolder
{
    /// <summary>What all files are on: a volume mounted below is a reparse point, and so not entered.</summary>
    public const ulong OnlyDevice = 1;

    /// <summary>Between the names of a path.</summary>
    public const char Separator = '\\';

    /// <summary>Folders in folders that a guest may go down; bounds the work of finding a file again.</summary>
    public const int MaxDepth = 512;

    private readonly SafeFileHandle _handle;
    private readonly HashSet<WindowsNode> _nodes = [];
    private readonly Lock _nodesGate = new();
    private readonly ReaderWriterLockSlim _gate = new();

    private WindowsFolder(SafeFileHandle handle)
    {
        _handle = handle;
        Root = new WindowsNode(this, "", 0);
    }

    /// <inheritdoc/>
    public override HostNode Root { get; }

    /// <inheritdoc/>
    public override ulong Device => OnlyDevice;

    /// <inheritdoc/>
    public override uint HostUser => 0;

    /// <inheritdoc/>
    public override uint HostGroup => 0;

    /// <summary>Opens a folder.</summary>
    /// <param name="path">Its path; links in it are followed, for it is the owner's choice.</param>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static new WindowsFolder Open(string path)
    {
        if (!Directory.Exists(path))
        {
            throw new IOException(File.Exists(path) ? $"{path} is not a folder" : $"the folder {path} does not exist");
        }

        const uint ShareAll = 7, OpenIfThere = 3, BackupSemantics = 0x200_0000;
        SafeFileHandle handle = CreateFile(ToLongPath(Path.GetFullPath(path)), ListFolder | ReadAttributes | Synchronize, ShareAll, 0, OpenIfThere, BackupSemantics, 0);
        if (handle.IsInvalid)
        {
            throw new IOException($"cannot open the folder {path}: {System.Runtime.InteropServices.Marshal.GetLastPInvokeErrorMessage()}");
        }

        return new WindowsFolder(handle);
    }

    /// <summary>Keeps renames of the guest away until it is disposed.</summary>
    public GateHold EnterShared()
    {
        _gate.EnterReadLock();
        return new GateHold(_gate, isExclusive: false);
    }

    /// <summary>Keeps everything else away until it is disposed, so that no folder is in use for a moment when it is renamed.</summary>
    public GateHold EnterAlone()
    {
        _gate.EnterWriteLock();
        return new GateHold(_gate, isExclusive: true);
    }

    /// <summary>Opens a file. Under the gate.</summary>
    /// <param name="relative">Names with <see cref="Separator"/> between; empty for the shared folder.</param>
    /// <param name="access">As <see cref="WindowsFileCalls.Open"/> takes it, as the rest.</param>
    /// <returns>ENOTDIR if a folder on the way is none, or is a reparse point.</returns>
    public Errno TryOpen(string relative, uint access, uint disposition, uint options, uint attributes, out SafeFileHandle? handle, out bool isNew)
    {
        handle = null;
        isNew = false;
        Errno error = TryOpenFolderOf(relative, out SafeFileHandle folder, out string name);
        if (error != Errno.None)
        {
            return error;
        }

        try
        {
            return WindowsFileCalls.Open(folder, name, access, disposition, options | OpenReparsePoint, attributes, out handle, out isNew);
        }
        finally
        {
            Close(folder);
        }
    }

    /// <summary>Opens the folder that a file is in. Under the gate.</summary>
    /// <param name="relative">The file.</param>
    /// <param name="folder">The folder; give it to <see cref="Close"/>.</param>
    /// <param name="name">The file's name in it.</param>
    public Errno TryOpenFolderOf(string relative, out SafeFileHandle folder, out string name)
    {
        string[] names = relative.Split(Separator);
        name = names[^1];
        folder = _handle;
        if (names.Length > MaxDepth)
        {
            return Errno.ENAMETOOLONG;
        }

        for (int i = 0; i < names.Length - 1; i++)
        {
            Errno error = WindowsFileCalls.Open(
                folder, names[i], ReadAttributes, OpenExisting, FolderOnly | OpenReparsePoint, NormalAttribute, out SafeFileHandle? next, out _);
            if (error == Errno.None)
            {
                error = WindowsStatus.Read(next!, out FileStatus status) is var found && found != Errno.None ? found : status.IsDirectory ? Errno.None : Errno.ENOTDIR;
            }

            Close(folder);
            if (error != Errno.None)
            {
                next?.Dispose();
                return error;
            }

            folder = next!;
        }

        return Errno.None;
    }

    /// <summary>Closes a folder, unless it is the shared one.</summary>
    public void Close(SafeFileHandle folder)
    {
        if (folder != _handle)
        {
            folder.Dispose();
        }
    }

    public unsafe Errno GetFileSystemStatus(out FileSystemStatus status)
    {
        // FILE_FS_FULL_SIZE_INFORMATION: units, those for this user, those free; sectors of a unit, bytes of a sector.
        const int Size = 32;
        long* figures = stackalloc long[Size / sizeof(long)];
        IoStatus io = default;
        Errno error = WindowsErrors.Translate(NtQueryVolumeInformationFile(_handle, &io, figures, Size, FullSizeInformation));
        uint* sizes = (uint*)(figures + 3);
        status = error == Errno.None
            ? new FileSystemStatus(sizes[0] * sizes[1], (ulong)figures[0], (ulong)figures[2], (ulong)figures[1], 0, 0, FileName.MaxLength)
            : default;
        return error;
    }

    public void Add(WindowsNode node)
    {
        lock (_nodesGate)
        {
            _nodes.Add(node);
        }
    }

    public void Remove(WindowsNode node)
    {
        lock (_nodesGate)
        {
            _nodes.Remove(node);
        }
    }

    /// <summary>Has the nodes of a file, and of all below it, follow a rename. Alone in the gate.</summary>
    public void Follow(string oldPath, string newPath)
    {
        string below = oldPath + Separator;
        lock (_nodesGate)
        {
            foreach (WindowsNode node in _nodes)
            {
                string path = node.Relative;
                if (path.Equals(oldPath, StringComparison.OrdinalIgnoreCase) || path.StartsWith(below, StringComparison.OrdinalIgnoreCase))
                {
                    node.Relative = newPath + path[oldPath.Length..];
                }
            }
        }
    }

    private static string ToLongPath(string path) =>
        path.StartsWith(@"\\?\", StringComparison.Ordinal) || path.StartsWith(@"\\.\", StringComparison.Ordinal) ? path
            : path.StartsWith(@"\\", StringComparison.Ordinal) ? @"\\?\UNC\" + path[2..]
            : @"\\?\" + path;

    /// <summary>A stay in the gate.</summary>
    internal readonly struct GateHold(ReaderWriterLockSlim gate, bool isExclusive) : IDisposable
    {
        public void Dispose()
        {
            if (isExclusive)
            {
                gate.ExitWriteLock();
            }
            else
            {
                gate.ExitReadLock();
            }
        }
    }
}
