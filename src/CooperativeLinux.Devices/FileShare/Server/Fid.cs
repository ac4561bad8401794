using CooperativeLinux.Devices.FileShare.Files;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>What a number of the guest's stands for: a file, perhaps open, or one of its extended attributes.</summary>
internal sealed class Fid
{
    private int _holders = 1;
    private HostFile? _file;

    /// <param name="node">The file; this holder's count passes to the fid.</param>
    /// <param name="user">The guest's user who works through it.</param>
    public Fid(HostNode node, uint user)
    {
        Node = node;
        User = user;
    }

    public HostNode Node { get; }

    /// <summary>The guest's user.</summary>
    public uint User { get; }

    /// <summary>The open file or folder, or null.</summary>
    public HostFile? File => Volatile.Read(ref _file);

    /// <summary>How it was opened.</summary>
    public FileOpenMode Mode { get; private set; }

    /// <summary>The extended attribute it stands for instead, or null.</summary>
    public ExtendedAttribute? Attribute { get; init; }

    /// <summary>Whether locks were ever set through it.</summary>
    public bool HasLocks { get; set; }

    /// <summary>Told when the open file goes.</summary>
    public Action? Closed { get; set; }

    /// <summary>Opens it, once.</summary>
    /// <returns>False if it is open already; the file is then the caller's to close.</returns>
    public bool TryOpen(HostFile file, FileOpenMode mode, Action closed)
    {
        if (Interlocked.CompareExchange(ref _file, file, null) is not null)
        {
            return false;
        }

        Mode = mode;
        Closed = closed;
        return true;
    }

    /// <summary>Counts one more user; only under the lock of the table that has it.</summary>
    public void AddHolder() => Interlocked.Increment(ref _holders);

    /// <summary>Counts one user less; the last one closes it.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
        {
            _file?.Dispose();
            Closed?.Invoke();
            Node.Release();
        }
    }
}

/// <summary>An extended attribute on its way to or from the guest.</summary>
/// <param name="Name">Its name, ending in NUL; empty for the list of names.</param>
/// <param name="Value">What is read, or room for what is written.</param>
/// <param name="IsWrite">Whether the guest writes it.</param>
/// <param name="Flags">For writing: XATTR_CREATE or XATTR_REPLACE.</param>
internal sealed record ExtendedAttribute(byte[] Name, byte[] Value, bool IsWrite, uint Flags)
{
    /// <summary>Bytes written so far.</summary>
    public int Written { get; set; }
}
