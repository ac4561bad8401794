namespace CooperativeLinux.Monitor.Store;

/// <summary>Watches of a guest.</summary>
public sealed partial class StoreConnection
{
    /// <summary>Most bytes of a token.</summary>
    private const int MaxToken = 64;

    private StoreError Watch(ReadOnlySpan<byte> payload)
    {
        StoreError error = ParseWatch(payload, out GuestWatch? watch);
        if (error != StoreError.None)
        {
            return error;
        }

        if (_watches.Count >= _store.Limits.Watches)
        {
            return StoreError.E2BIG;
        }

        error = _store.AddWatch(watch!, watch!.Path);
        if (error == StoreError.None)
        {
            _watches.Add(watch);
        }

        return error;
    }

    private StoreError Unwatch(ReadOnlySpan<byte> payload)
    {
        StoreError error = ParseWatch(payload, out GuestWatch? watch);
        if (error != StoreError.None)
        {
            return error;
        }

        int index = _watches.IndexOf(watch!);
        if (index < 0)
        {
            return StoreError.ENOENT;
        }

        Drop(_watches[index]);
        _watches.RemoveAt(index);
        return StoreError.None;
    }

    private void ResetWatches()
    {
        foreach (GuestWatch watch in _watches)
        {
            Drop(watch);
        }

        _watches.Clear();
        _transactions.Clear();
    }

    private void Drop(GuestWatch watch) => _store.RemoveWatch(watch);

    private StoreError ParseWatch(ReadOnlySpan<byte> payload, out GuestWatch? watch)
    {
        watch = null;
        if (!TrySplit(payload, 2, 2, out string[] arguments) || arguments[1].Length > MaxToken)
        {
            return StoreError.EINVAL;
        }

        string given = arguments[0];
        if (StorePath.IsSpecial(given))
        {
            if (given.Length > StorePath.MaxRelative || !StorePath.IsValid("/" + given))
            {
                return StoreError.EINVAL;
            }

            watch = new GuestWatch(this, given, arguments[1], IsRelative: false);
            return StoreError.None;
        }

        if (!StorePath.TryResolve(given, _domain, out string path))
        {
            return StoreError.EINVAL;
        }

        watch = new GuestWatch(this, path, arguments[1], IsRelative: !given.StartsWith('/'));
        return StoreError.None;
    }

    private void Queue(GuestWatch watch, string path)
    {
        lock (_outputGate)
        {
            // A guest that has not yet read an event will look at the newest state when it does.
            if (!_queued.Contains((watch, path)))
            {
                if (_events.Count >= _store.Limits.PendingEvents)
                {
                    LostEvents++;
                    return;
                }

                _queued.Add((watch, path));
                _events.Enqueue((watch, path));
            }
        }

        EventQueued?.Invoke();
    }

    /// <summary>A guest's watch. Two are the same if path, token and the way the path was given are.</summary>
    private sealed record GuestWatch(StoreConnection Connection, string Path, string Token, bool IsRelative) : IStoreWatch
    {
        public int Domain => Connection._domain;

        public void Fire(string changed) => Connection.Queue(this, changed);

        /// <summary>The path as the guest is told: relative if it watches so.</summary>
        public string Reported(string path)
        {
            string home = StorePath.OfDomain(Domain) + "/";
            return IsRelative && path.StartsWith(home, StringComparison.Ordinal) ? path[home.Length..] : path;
        }
    }
}
