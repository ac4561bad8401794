using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Devices.FileShare.Sys.LinuxFileCalls;

namespace CooperativeLinux.Devices.FileShare.Sys;

/// <summary>A file held by an O_PATH descriptor; see <see cref="LinuxFolder"/>. This part: identity, the tree, finding again.</summary>
internal sealed unsafe partial class LinuxNode : HostNode
{
    private readonly LinuxFolder _folder;
    private readonly LinkedListNode<LinuxNode> _heldEntry;
    private readonly uint _type;
    private readonly ulong _inode;

    // All under the folder's gate.
    private LinuxNode? _parent;
    private FileName _name;
    private SafeFileHandle? _handle;
    private Dictionary<FileName, LinuxNode>? _children;
    private int _holders = 1;
    private int _depth;

    /// <summary>The root: never closed to make room.</summary>
    public LinuxNode(LinuxFolder folder, SafeFileHandle handle, in FileStatus status)
    {
        _folder = folder;
        _handle = handle;
        _type = status.Type;
        _inode = status.Inode;
        _name = FileName.None;
        _heldEntry = new LinkedListNode<LinuxNode>(this);
        Device = status.Device;
    }

    /// <summary>File system the file is on.</summary>
    public ulong Device { get; }

    private bool IsRoot => _parent is null;

    public override void AddHolder()
    {
        lock (_folder.Gate)
        {
            _holders++;
        }
    }

    public override void Release()
    {
        List<SafeFileHandle>? closed = null;
        lock (_folder.Gate)
        {
            // A parent lives as long as its children, so one release may free a whole chain.
            for (LinuxNode? node = this; node is not null && --node._holders == 0 && node._parent is not null; node = node._parent)
            {
                node.RemoveFromParent();
                if (node.TakeHandle() is { } handle)
                {
                    (closed ??= []).Add(handle);
                }
            }
        }

        closed?.ForEach(handle => handle.Dispose());
    }

    public override HostNode GetParent()
    {
        lock (_folder.Gate)
        {
            LinuxNode parent = _parent ?? this;
            parent._holders++;
            return parent;
        }
    }

    public override Errno Find(FileName name, out HostNode? node, out FileStatus status)
    {
        node = null;
        Errno error = TryHold(out LinuxHandleHold hold);
        if (error != Errno.None)
        {
            status = default;
            return error;
        }

        using (hold)
        {
            error = OpenChild(hold.Descriptor, name, out SafeFileHandle? handle, out status);
            return error != Errno.None ? error : Adopt(name, handle!, status, out node);
        }
    }

    /// <summary>Reads a descriptor's status.</summary>
    internal static Errno GetStatus(int descriptor, out FileStatus status)
    {
        byte empty = 0;
        return GetStatus(descriptor, &empty, EmptyPath, out status);
    }

    /// <summary>Gives up the descriptor, to make room or for good. Under the gate.</summary>
    internal SafeFileHandle? TakeHandle()
    {
        SafeFileHandle? handle = _handle;
        _handle = null;
        _folder.Untouch(_heldEntry);
        return handle;
    }

    private static Errno GetStatus(int folder, byte* path, int flags, out FileStatus status)
    {
        StatxResult result;
        if (Statx(folder, path, flags | NoAutomount, BasicStatus, &result) != 0)
        {
            status = default;
            return LastError;
        }

        status = new FileStatus
        {
            Mode = result.Mode,
            User = result.User,
            Group = result.Group,
            Links = result.Links,
            DeviceNumber = (result.SpecialMinor & 0xFF) | ((ulong)result.SpecialMajor << 8) | ((ulong)(result.SpecialMinor & ~0xFFu) << 12),
            Size = result.Size,
            BlockSize = result.BlockSize,
            Blocks = result.Blocks,
            Accessed = new FileTime(result.Accessed.Seconds, result.Accessed.Nanoseconds),
            Modified = new FileTime(result.Modified.Seconds, result.Modified.Nanoseconds),
            Changed = new FileTime(result.Changed.Seconds, result.Changed.Nanoseconds),
            Device = ((ulong)result.DeviceMajor << 32) | result.DeviceMinor,
            Inode = result.Inode,
        };
        return Errno.None;
    }

    private static Errno OpenChild(int folder, FileName name, out SafeFileHandle? handle, out FileStatus status)
    {
        int descriptor;
        fixed (byte* path = name.Terminated)
        {
            descriptor = OpenAt(folder, path, PathOnly | NoFollow | CloseOnExec, 0);
        }

        if (descriptor < 0)
        {
            handle = null;
            status = default;
            return LastError;
        }

        handle = new SafeFileHandle(descriptor, ownsHandle: true);
        Errno error = GetStatus(descriptor, out status);
        if (error != Errno.None)
        {
            handle.Dispose();
        }

        return error;
    }

    /// <summary>The node for a file just found in this folder: the one there is already, or a new one.</summary>
    private Errno Adopt(FileName name, SafeFileHandle handle, in FileStatus status, out HostNode? node)
    {
        SafeFileHandle? surplus;
        lock (_folder.Gate)
        {
            if (_depth >= LinuxFolder.MaxDepth)
            {
                node = null;
                surplus = handle;
            }
            else if (_children is not null && _children.TryGetValue(name, out LinuxNode? known) && known.Is(status))
            {
                known._holders++;
                node = known;
                surplus = known._handle is null ? known.KeepHandle(handle) : handle;
            }
            else
            {
                LinuxNode made = new(_folder, handle, status) { _parent = this, _name = name, _depth = _depth + 1 };
                (_children ??= [])[name] = made;
                _holders++;
                node = made;
                surplus = _folder.Touch(made._heldEntry);
            }
        }

        surplus?.Dispose();
        return node is null ? Errno.ENAMETOOLONG : Errno.None;
    }

    private bool Is(in FileStatus status) => _inode == status.Inode && Device == status.Device && _type == status.Type;

    private SafeFileHandle? KeepHandle(SafeFileHandle handle)
    {
        _handle = handle;
        return _folder.Touch(_heldEntry);
    }

    private void RemoveFromParent()
    {
        if (_parent?._children is { } siblings && siblings.TryGetValue(_name, out LinuxNode? sibling) && sibling == this)
        {
            siblings.Remove(_name);
        }
    }

    /// <summary>Keeps the descriptor in use, after finding the file again if it was closed to make room.</summary>
    private Errno TryHold(out LinuxHandleHold hold)
    {
        LinuxNode? parent;
        FileName name;
        lock (_folder.Gate)
        {
            if (_handle is not null && LinuxHandleHold.TryTake(_handle, out hold))
            {
                if (!IsRoot)
                {
                    _folder.Touch(_heldEntry);
                }

                return Errno.None;
            }

            parent = _parent;
            name = _name;
            if (parent is not null)
            {
                parent._holders++;
            }
        }

        hold = default;
        if (parent is null)
        {
            return Errno.EBADF;
        }

        try
        {
            return FindAgain(parent, name, out hold);
        }
        finally
        {
            parent.Release();
        }
    }

    private Errno FindAgain(LinuxNode parent, FileName name, out LinuxHandleHold hold)
    {
        hold = default;
        Errno error = parent.TryHold(out LinuxHandleHold parentHold);
        if (error != Errno.None)
        {
            return error;
        }

        SafeFileHandle? handle;
        FileStatus status;
        using (parentHold)
        {
            error = OpenChild(parentHold.Descriptor, name, out handle, out status);
        }

        if (error != Errno.None)
        {
            return error == Errno.ENOENT ? Errno.ESTALE : error;
        }

        SafeFileHandle? surplus = handle;
        if (Is(status))
        {
            lock (_folder.Gate)
            {
                LinuxHandleHold.TryTake(handle!, out hold);
                surplus = _handle is null && _holders > 0 ? KeepHandle(handle!) : handle;
            }
        }
        else
        {
            error = Errno.ESTALE;
        }

        surplus?.Dispose();
        return error;
    }

    /// <summary>Moves a child in the tree after a rename on the host. Under the rename gate.</summary>
    private void MoveChild(FileName name, LinuxNode newFolder, FileName newName)
    {
        LinuxNode? oldParent = null;
        lock (_folder.Gate)
        {
            // What had the new name has none now; if its descriptor is closed later, it cannot be found again.
            newFolder._children?.Remove(newName);
            if (_children is null || !_children.Remove(name, out LinuxNode? child))
            {
                return;
            }

            if (newFolder.IsBelow(child))
            {
                // The host has moved folders meanwhile and the tree is out of date: leave the child without a place.
                return;
            }

            oldParent = child._parent;
            child._parent = newFolder;
            child._name = newName;
            child._depth = newFolder._depth + 1;
            newFolder._holders++;
            (newFolder._children ??= [])[newName] = child;
        }

        oldParent?.Release();
    }

    private bool IsBelow(LinuxNode ancestor)
    {
        for (LinuxNode? node = this; node is not null; node = node._parent)
        {
            if (node == ancestor)
            {
                return true;
            }
        }

        return false;
    }
}
