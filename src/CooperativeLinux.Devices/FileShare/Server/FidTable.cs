using System.Diagnostics.CodeAnalysis;

namespace CooperativeLinux.Devices.FileShare.Server;

/// <summary>The fids of a session. Any thread.</summary>
internal sealed class FidTable(int capacity)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<uint, Fid> _fids = [];

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _fids.Count;
            }
        }
    }

    /// <summary>Whether there is no room for one more.</summary>
    public bool IsFull => Count >= capacity;

    /// <summary>Finds a fid; release it after use.</summary>
    public bool TryTake(uint number, [NotNullWhen(true)] out Fid? fid)
    {
        lock (_gate)
        {
            if (!_fids.TryGetValue(number, out fid))
            {
                return false;
            }

            fid.AddHolder();
            return true;
        }
    }

    /// <summary>Enters a fid under a number that is free or, if one to replace is given, has just that one.</summary>
    public bool TryAdd(uint number, Fid fid, Fid? replaced = null)
    {
        lock (_gate)
        {
            _fids.TryGetValue(number, out Fid? present);
            if (present != replaced || (present is null && _fids.Count >= capacity))
            {
                return false;
            }

            _fids[number] = fid;
        }

        replaced?.Release();
        return true;
    }

    /// <summary>Takes a fid out; release it.</summary>
    public bool TryRemove(uint number, [NotNullWhen(true)] out Fid? fid)
    {
        lock (_gate)
        {
            return _fids.Remove(number, out fid);
        }
    }

    /// <summary>Releases all.</summary>
    public void Clear()
    {
        Fid[] all;
        lock (_gate)
        {
            all = [.. _fids.Values];
            _fids.Clear();
        }

        foreach (Fid fid in all)
        {
            fid.Release();
        }
    }
}
