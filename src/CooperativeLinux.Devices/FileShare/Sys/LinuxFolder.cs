using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.LinuxFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>
/// A shared folder on a Linux host. Every file the guest refers to is held by an O_PATH descriptor, found one name at a time below the
/// descriptor of its folder and without following links: no path of more than one name is ever given to the host, so there is none that
/// could lead outside. When too many are held, those not used for longest are closed, and found again by their names when needed; a
/// different file found then gives ESTALE.
/// </summary>
internal sealed class LinuxFolder : HostFolder
{
    /// <summary>Folders in folders that a guest may go down; bounds the work of finding a file again.</summary>
    public const int MaxDepth = 2048;

    private readonly LinkedList<LinuxNode> _held = new();
    private readonly int _maxHeld;
    private readonly LinuxNode _root;

    private unsafe LinuxFolder(SafeFileHandle handle, in FileStatus status, uint mask, int maxHeld)
    {
        FileSystemResult fileSystem;
        IsLocal = StatFileSystem((int)handle.DangerousGetHandle(), &fileSystem) == 0 && LocalFileSystems.Contains(fileSystem.Type);
        CreationMask = mask;
        _maxHeld = maxHeld;
        _root = new LinuxNode(this, handle, status);
    }

    /// <inheritdoc/>
    public override HostNode Root => _root;

    /// <inheritdoc/>
    public override ulong Device => _root.Device;

    /// <inheritdoc/>
    public override uint HostUser { get; } = GetEffectiveUser();

    /// <inheritdoc/>
    public override uint HostGroup { get; } = GetEffectiveGroup();

    /// <inheritdoc/>
    public override bool IsLocal { get; }

    /// <summary>The process's umask: permissions that new files do not get from the host.</summary>
    internal uint CreationMask { get; }

    /// <summary>Guards the tree of nodes and the list of held ones; no system call is made under it.</summary>
    internal Lock Gate { get; } = new();

    /// <summary>Makes renames and their effects on the tree one.</summary>
    internal Lock RenameGate { get; } = new();

    /// <summary>Descriptors held at present.</summary>
    internal int HeldCount
    {
        get
        {
            lock (Gate)
            {
                return _held.Count;
            }
        }
    }

    /// <summary>Opens a folder.</summary>
    /// <param name="path">Its path; links in it are followed, for it is the owner's choice.</param>
    /// <param name="maxHeld">Descriptors held for files that are not open, or 0 for a share of what the process may have.</param>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static unsafe LinuxFolder Open(string path, int maxHeld = 0)
    {
        byte[] bytes = [.. System.Text.Encoding.UTF8.GetBytes(Path.GetFullPath(path)), 0];
        int descriptor;
        fixed (byte* pointer = bytes)
        {
            descriptor = OpenAt(CurrentFolder, pointer, PathOnly | LinuxFileCalls.Directory | CloseOnExec, 0);
        }

        if (descriptor < 0)
        {
            throw new IOException(LastError switch
            {
                Errno.ENOENT => $"the folder {path} does not exist",
                Errno.ENOTDIR => $"{path} is not a folder",
                Errno.EACCES => $"no permission to open the folder {path}",
                Errno error => $"cannot open the folder {path} (error {error})",
            });
        }

        SafeFileHandle handle = new(descriptor, ownsHandle: true);
        LinuxDescriptorPath check = LinuxDescriptorPath.Of(descriptor);
        StatxResult result;
        int viaProc = Statx(CurrentFolder, (byte*)&check, 0, BasicStatus, &result);
        if (viaProc != 0 || LinuxNode.GetStatus(descriptor, out FileStatus status) != Errno.None || result.Inode != status.Inode)
        {
            handle.Dispose();
            throw new IOException($"cannot share {path}: /proc is not there");
        }

        return new LinuxFolder(handle, status, ReadCreationMask(), maxHeld > 0 ? maxHeld : DefaultMaxHeld());
    }

    /// <summary>Notes that a node's descriptor was opened or used, and takes descriptors away from others if there are too many. Under
    /// <see cref="Gate"/>.</summary>
    /// <returns>A handle to close outside the gate, or null.</returns>
    internal SafeFileHandle? Touch(LinkedListNode<LinuxNode> entry)
    {
        if (entry.List is not null)
        {
            if (_held.First != entry)
            {
                _held.Remove(entry);
                _held.AddFirst(entry);
            }

            return null;
        }

        _held.AddFirst(entry);
        return _held.Count > _maxHeld && _held.Last is { } last && last != entry ? last.Value.TakeHandle() : null;
    }

    /// <summary>Forgets a node whose descriptor is gone. Under <see cref="Gate"/>.</summary>
    internal void Untouch(LinkedListNode<LinuxNode> entry)
    {
        if (entry.List is not null)
        {
            _held.Remove(entry);
        }
    }

    private static uint ReadCreationMask()
    {
        foreach (string line in File.ReadLines("/proc/self/status"))
        {
            if (line.StartsWith("Umask:", StringComparison.Ordinal))
            {
                return Convert.ToUInt32(line["Umask:".Length..].Trim(), 8);
            }
        }

        // Kernels before 4.7 do not say: assume the worst, at the price of one more call per new file.
        return 0b111_111_111;
    }

    private static int DefaultMaxHeld()
    {
        foreach (string line in File.ReadLines("/proc/self/limits"))
        {
            if (line.StartsWith("Max open files", StringComparison.Ordinal))
            {
                string soft = line["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
                return int.TryParse(soft, out int limit) ? Math.Clamp(limit / 4, 64, 16384) : 16384;
            }
        }

        return 256;
    }
}
