using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Files;

/// <summary>
/// A file, folder or link in the shared folder. A node stands for the file itself, whatever its name is by now, and its operations never
/// follow a symbolic link. Counted: whoever got one releases it. All members may be called by any thread at any time.
/// </summary>
internal abstract class HostNode
{
    /// <summary>Counts one more holder.</summary>
    public abstract void AddHolder();

    /// <summary>Counts one holder less; the last one frees what the node holds.</summary>
    public abstract void Release();

    public abstract Errno GetStatus(out FileStatus status);

    /// <summary>Finds a file in this folder.</summary>
    public abstract Errno Find(FileName name, out HostNode? node, out FileStatus status);

    /// <summary>The folder this was found in; of the root, the root itself. The holder count goes up.</summary>
    public abstract HostNode GetParent();

    /// <summary>Opens a regular file or a folder; others give ENXIO without being touched.</summary>
    public abstract Errno Open(FileOpenMode mode, out HostFile? file);

    /// <summary>Makes a regular file in this folder and opens it.</summary>
    /// <param name="isExclusive">Fail with EEXIST if the name is taken; otherwise open what is there.</param>
    /// <param name="isNew">Whether it was made.</param>
    public abstract Errno Create(
        FileName name, FileOpenMode mode, uint permissions, bool isExclusive, out HostNode? node, out HostFile? file, out bool isNew);

    public abstract Errno MakeDirectory(FileName name, uint permissions);

    public abstract Errno MakeSymbolicLink(FileName name, ReadOnlySpan<byte> target);

    /// <summary>Makes a FIFO or a socket's name.</summary>
    /// <param name="mode">Type and permissions.</param>
    public abstract Errno MakeSpecial(FileName name, uint mode);

    /// <summary>Gives a file one more name, in this folder.</summary>
    public abstract Errno Link(HostNode target, FileName name);

    public abstract Errno ReadLink(out byte[] target);

    public abstract Errno Unlink(FileName name, bool isDirectory);

    /// <summary>Removes this file under the name it was found by.</summary>
    public abstract Errno UnlinkSelf();

    public abstract Errno Rename(FileName name, HostNode newFolder, FileName newName);

    /// <summary>Renames this file from the name it was found by.</summary>
    public abstract Errno RenameSelf(HostNode newFolder, FileName newName);

    public abstract Errno SetPermissions(uint permissions);

    /// <param name="user">New owner; all ones to leave it.</param>
    /// <param name="group">New group; all ones to leave it.</param>
    public abstract Errno SetOwner(uint user, uint group);

    public abstract Errno SetSize(ulong size);

    public abstract Errno SetTimes(in FileTimes times);

    /// <summary>Reads an extended attribute.</summary>
    /// <param name="name">Its full name, ending in NUL.</param>
    /// <param name="value">The value.</param>
    public abstract Errno GetExtendedAttribute(ReadOnlySpan<byte> name, out byte[] value);

    /// <param name="flags">XATTR_CREATE (1) or XATTR_REPLACE (2).</param>
    public abstract Errno SetExtendedAttribute(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, int flags);

    public abstract Errno RemoveExtendedAttribute(ReadOnlySpan<byte> name);

    /// <summary>Lists the names of the extended attributes, each ending in NUL.</summary>
    public abstract Errno ListExtendedAttributes(out byte[] names);

    public abstract Errno GetFileSystemStatus(out FileSystemStatus status);
}
