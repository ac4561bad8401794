using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Files;

/// <summary>
/// An open file or folder. Disposing it while another thread uses it is allowed: that operation ends first or fails with EBADF.
/// </summary>
internal abstract class HostFile : IDisposable
{
    /// <param name="count">Bytes read; fewer than asked for at the end of the file only.</param>
    public abstract Errno Read(Span<byte> destination, ulong offset, out int count);

    /// <param name="count">Bytes written; all, unless an error came after some.</param>
    public abstract Errno Write(ReadOnlySpan<byte> source, ulong offset, out int count);

    /// <summary>Has what was written reach the disk.</summary>
    /// <param name="isDataOnly">Leave out attributes that are not needed to read the data.</param>
    public abstract Errno Sync(bool isDataOnly);

    public abstract Errno SetSize(ulong size);

    public abstract Errno GetStatus(out FileStatus status);

    /// <summary>Reads a folder's entries, as many as the visitor takes.</summary>
    /// <param name="offset">Zero, or the offset of the last entry taken before.</param>
    /// <param name="visitor">Takes entries; not used after the return.</param>
    public abstract Errno ReadEntries<TVisitor>(ulong offset, ref TVisitor visitor)
        where TVisitor : IEntryVisitor, allows ref struct;

    /// <summary>Sets or clears an advisory lock that other processes of the host see; all locks end when the file is closed.</summary>
    /// <param name="kind">Read, write, or none to unlock.</param>
    /// <param name="start">First byte.</param>
    /// <param name="length">Bytes; 0 means to the end, however far that is.</param>
    /// <returns>EAGAIN if another process has it.</returns>
    public abstract Errno TryLock(FileLockKind kind, ulong start, ulong length);

    /// <summary>Asks which lock of another process of the host is in the way.</summary>
    /// <param name="conflict">The lock; kind none if there is none.</param>
    public abstract Errno TestLock(FileLockKind kind, ulong start, ulong length, out FileLockRange conflict);

    public abstract void Dispose();
}

/// <summary>Kinds of advisory locks; the numbers are those of 9P2000.L (P9_LOCK_TYPE_*).</summary>
internal enum FileLockKind : byte
{
    Read = 0,
    Write = 1,
    None = 2,
}

/// <summary>A locked range; length 0 means to the end.</summary>
internal readonly record struct FileLockRange(FileLockKind Kind, ulong Start, ulong Length);

/// <summary>Takes the entries of a folder one by one.</summary>
internal interface IEntryVisitor
{
    /// <param name="inode">The file's number.</param>
    /// <param name="offset">Where to go on after this entry.</param>
    /// <param name="type">DT_*: the file's type shifted right by 12, or 0 if unknown.</param>
    /// <param name="name">The name's bytes.</param>
    /// <returns>False if there is no room for it; the walk ends and the entry counts as not taken.</returns>
    bool Take(ulong inode, ulong offset, byte type, ReadOnlySpan<byte> name);
}
