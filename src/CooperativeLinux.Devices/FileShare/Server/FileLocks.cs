using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>
/// The advisory locks that the guest's processes have on one file. To the host they are those of one owner: on each byte the strongest
/// lock of any guest process. The caller locks.
/// </summary>
/// <param name="file">The file, open for the locks' sake.</param>
/// <param name="isWritable">Whether it is open for writing, without which the host knows read locks only.</param>
internal sealed class FileLocks(HostFile file, bool isWritable) : IDisposable
{
    /// <summary>Most locks on one file.</summary>
    public const int MaxLocks = 1024;

    private List<Held> _held = [];

    public bool IsEmpty => _held.Count == 0;

    /// <summary>Sets or clears a lock.</summary>
    /// <returns>EAGAIN if a lock of another guest process or of the host is in the way.</returns>
    public Errno TrySet(Fid fid, uint owner, FileLockKind kind, ulong start, ulong last)
    {
        if (kind != FileLockKind.None && FindConflict(owner, kind, start, last) is not null)
        {
            return Errno.EAGAIN;
        }

        // The owner's other locks keep what lies outside the range.
        List<Held> wanted = [];
        foreach (Held held in _held)
        {
            if (held.Owner != owner || held.Last < start || held.Start > last)
            {
                wanted.Add(held);
                continue;
            }

            if (held.Start < start)
            {
                wanted.Add(held with { Last = start - 1 });
            }

            if (held.Last > last)
            {
                wanted.Add(held with { Start = last + 1 });
            }
        }

        if (kind != FileLockKind.None)
        {
            wanted.Add(new Held(fid, owner, kind, start, last));
        }

        return wanted.Count > MaxLocks ? Errno.ENOLCK : Apply(wanted, start, last);
    }

    /// <summary>Clears the locks that were set through a fid.</summary>
    public void Release(Fid fid)
    {
        List<Held> wanted = _held.FindAll(held => held.Fid != fid);
        if (wanted.Count < _held.Count)
        {
            Apply(wanted, _held.Min(held => held.Start), _held.Max(held => held.Last));
        }
    }

    /// <summary>The lock that is in the way of another one.</summary>
    public Errno Test(uint owner, FileLockKind kind, ulong start, ulong last, out FileLockRange conflict, out uint conflictOwner)
    {
        if (FindConflict(owner, kind, start, last) is { } held)
        {
            conflict = new FileLockRange(held.Kind, held.Start, LengthOf(held.Start, held.Last));
            conflictOwner = held.Owner;
            return Errno.None;
        }

        conflictOwner = 0;
        return file.TestLock(isWritable ? kind : FileLockKind.Read, start, LengthOf(start, last), out conflict);
    }

    public void Dispose() => file.Dispose();

    private static ulong LengthOf(ulong start, ulong last) => last >= long.MaxValue ? 0 : last - start + 1;

    private static FileLockKind Strongest(List<Held> locks, ulong start, ulong last)
    {
        FileLockKind strongest = FileLockKind.None;
        foreach (Held held in locks)
        {
            if (held.Start <= start && held.Last >= last)
            {
                strongest = strongest == FileLockKind.Write || held.Kind == FileLockKind.Write ? FileLockKind.Write : FileLockKind.Read;
            }
        }

        return strongest;
    }

    private Held? FindConflict(uint owner, FileLockKind kind, ulong start, ulong last) => _held.Find(held =>
        held.Owner != owner && held.Start <= last && held.Last >= start && (kind == FileLockKind.Write || held.Kind == FileLockKind.Write));

    /// <summary>Has the host's locks in a range follow; all of them, or none if one cannot be had.</summary>
    private Errno Apply(List<Held> wanted, ulong start, ulong last)
    {
        List<(ulong Start, ulong Last)> pieces = Pieces(wanted, start, last);
        for (int i = 0; i < pieces.Count; i++)
        {
            (ulong first, ulong end) = pieces[i];
            FileLockKind kind = Strongest(wanted, first, end);
            Errno error = kind == Strongest(_held, first, end) ? Errno.None : SetHost(kind, first, end);
            if (error == Errno.None)
            {
                continue;
            }

            while (i-- > 0)
            {
                (first, end) = pieces[i];
                SetHost(Strongest(_held, first, end), first, end);
            }

            return error;
        }

        _held = wanted;
        return Errno.None;
    }

    private Errno SetHost(FileLockKind kind, ulong start, ulong last) =>
        file.TryLock(kind == FileLockKind.Write && !isWritable ? FileLockKind.Read : kind, start, LengthOf(start, last));

    /// <summary>Cuts a range where any lock, old or new, begins or ends.</summary>
    private List<(ulong Start, ulong Last)> Pieces(List<Held> wanted, ulong start, ulong last)
    {
        SortedSet<ulong> starts = [start];
        foreach (Held held in _held.Concat(wanted))
        {
            if (held.Start > start && held.Start <= last)
            {
                starts.Add(held.Start);
            }

            if (held.Last >= start && held.Last < last)
            {
                starts.Add(held.Last + 1);
            }
        }

        ulong[] cuts = [.. starts];
        return [.. cuts.Select((cut, index) => (cut, index + 1 < cuts.Length ? cuts[index + 1] - 1 : last))];
    }

    private sealed record Held(Fid Fid, uint Owner, FileLockKind Kind, ulong Start, ulong Last);
}
