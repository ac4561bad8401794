using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Monitor.Store;

/// <summary>Watches: who is told when something changes.</summary>
public sealed partial class XenStore
{
    private readonly List<IStoreWatch> _watches = [];

    /// <summary>
    /// Watches a node and all below it. <paramref name="onChange"/> is called with the path that changed: once soon after this
    /// call, with <paramref name="path"/>, and after every change; for a removed ancestor too. Calls for one watch come one after another, on
    /// pool threads, and never inside the call that made the change; several changes of one path may come as one.
    /// </summary>
    /// <returns>Ends the watch when disposed; a call that has begun may still be running then.</returns>
    public IDisposable Watch(string path, Action<string> onChange)
    {
        HostWatch watch = new(this, Checked(path), onChange, _logger);
        lock (_gate)
        {
            _watches.Add(watch);
            watch.Fire(path);
        }

        return watch;
    }

    /// <summary>Adds a guest's watch and tells it once; EEXIST if it has the same already.</summary>
    internal StoreError AddWatch(IStoreWatch watch, string firstPath)
    {
        lock (_gate)
        {
            if (_watches.Contains(watch))
            {
                return StoreError.EEXIST;
            }

            _watches.Add(watch);
            watch.Fire(firstPath);
            return StoreError.None;
        }
    }

    /// <summary>Removes a watch; false if there is none equal to it.</summary>
    internal bool RemoveWatch(IStoreWatch watch)
    {
        lock (_gate)
        {
            return _watches.Remove(watch);
        }
    }

    // The lock is held.
    private void Fire(List<StoreChange> changes)
    {
        foreach (StoreChange change in changes)
        {
            foreach (IStoreWatch watch in _watches)
            {
                if (StorePath.IsAtOrBelow(change.Path, watch.Path))
                {
                    if (MaySee(watch.Domain, change))
                    {
                        watch.Fire(change.Path);
                    }
                }
                else if (change.IsRemoval && StorePath.IsAtOrBelow(watch.Path, change.Path) && MaySee(watch.Domain, change))
                {
                    watch.Fire(watch.Path);
                }
            }
        }

        changes.Clear();
    }

    /// <summary>A guest is told about nodes that it, or it in the parent, may read.</summary>
    private bool MaySee(int domain, in StoreChange change) =>
        change.Permissions.Allows(domain, StoreAccess.Read)
        || (_live.Find(StorePath.Parent(change.Path))?.Permissions.Allows(domain, StoreAccess.Read) ?? false);

    /// <summary>The host's watch: collects paths and hands them out on pool threads, one at a time.</summary>
    private sealed class HostWatch(XenStore store, string path, Action<string> onChange, ILogger logger) : IStoreWatch, IDisposable, IThreadPoolWorkItem
    {
        private readonly Queue<string> _pending = new();
        private bool _isRunning;
        private bool _isDisposed;

        public string Path => path;

        public int Domain => 0;

        public void Fire(string changed)
        {
            lock (_pending)
            {
                if (_isDisposed || _pending.Contains(changed))
                {
                    return;
                }

                _pending.Enqueue(changed);
                if (_isRunning)
                {
                    return;
                }

                _isRunning = true;
            }

            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        public void Execute()
        {
            while (true)
            {
                string? changed;
                lock (_pending)
                {
                    if (!_pending.TryDequeue(out changed))
                    {
                        _isRunning = false;
                        return;
                    }
                }

                try
                {
                    onChange(changed);
                }
                catch (Exception exception)
                {
                    logger.LogError(exception, "A watch on {Path} failed at {Changed}", path, changed);
                }
            }
        }

        public void Dispose()
        {
            store.RemoveWatch(this);
            lock (_pending)
            {
                _isDisposed = true;
                _pending.Clear();
            }
        }
    }
}

/// <summary>Somebody who wants to be told about changes at or below a path.</summary>
internal interface IStoreWatch
{
    /// <summary>Absolute path, or a special one.</summary>
    string Path { get; }

    /// <summary>Whose rights decide what is told.</summary>
    int Domain { get; }

    /// <summary>Tells; called with the store's lock held, so it only takes note.</summary>
    void Fire(string changed);
}
