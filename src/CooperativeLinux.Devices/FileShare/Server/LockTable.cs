using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>The advisory locks of a session, by file. Any thread.</summary>
internal sealed class LockTable : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(ulong Device, ulong Inode), FileLocks> _files = [];
    private bool _isDisposed;

    /// <summary>Sets or clears a lock.</summary>
    /// <returns>EAGAIN if another lock is in the way.</returns>
    public Errno TrySet(Fid fid, uint owner, FileLockKind kind, ulong start, ulong last)
    {
        lock (_gate)
        {
            Errno error = TryGet(fid, isMade: kind != FileLockKind.None, out FileLocks? locks, out (ulong Device, ulong Inode) key);
            if (error != Errno.None || locks is null)
            {
                return error;
            }

            error = locks.TrySet(fid, owner, kind, start, last);
            fid.HasLocks |= error == Errno.None && kind != FileLockKind.None;
            DropIfEmpty(key, locks);
            return error;
        }
    }

    /// <summary>The lock that would be in the way.</summary>
    public Errno Test(Fid fid, uint owner, FileLockKind kind, ulong start, ulong last, out FileLockRange conflict, out uint conflictOwner)
    {
        conflict = new FileLockRange(FileLockKind.None, 0, 0);
        conflictOwner = 0;
        lock (_gate)
        {
            Errno error = TryGet(fid, isMade: true, out FileLocks? locks, out (ulong Device, ulong Inode) key);
            if (error != Errno.None)
            {
                return error;
            }

            error = locks!.Test(owner, kind, start, last, out conflict, out conflictOwner);
            DropIfEmpty(key, locks);
            return error;
        }
    }

    /// <summary>Clears the locks that were set through a fid.</summary>
    public void ReleaseOf(Fid fid)
    {
        if (!fid.HasLocks)
        {
            return;
        }

        lock (_gate)
        {
            foreach (((ulong, ulong) key, FileLocks locks) in _files.ToArray())
            {
                locks.Release(fid);
                DropIfEmpty(key, locks);
            }
        }
    }

    /// <summary>Clears all locks.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            foreach (FileLocks locks in _files.Values)
            {
                locks.Dispose();
            }

            _files.Clear();
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            Clear();
        }
    }

    private Errno TryGet(Fid fid, bool isMade, out FileLocks? locks, out (ulong Device, ulong Inode) key)
    {
        locks = null;
        key = default;
        if (fid.File is not { } opened)
        {
            return Errno.EBADF;
        }

        Errno error = opened.GetStatus(out FileStatus status);
        key = (status.Device, status.Inode);
        if (error != Errno.None || _files.TryGetValue(key, out locks) || !isMade)
        {
            return error;
        }

        if (_isDisposed || !status.IsRegular)
        {
            return _isDisposed ? Errno.EBADF : Errno.EINVAL;
        }

        bool isWritable = fid.Node.Open(FileOpenMode.ReadWrite, out HostFile? file) == Errno.None;
        if (!isWritable)
        {
            error = fid.Node.Open(FileOpenMode.None, out file);
        }

        if (error == Errno.None)
        {
            _files[key] = locks = new FileLocks(file!, isWritable);
        }

        return error;
    }

    private void DropIfEmpty((ulong Device, ulong Inode) key, FileLocks locks)
    {
        if (locks.IsEmpty)
        {
            _files.Remove(key);
            locks.Dispose();
        }
    }
}
