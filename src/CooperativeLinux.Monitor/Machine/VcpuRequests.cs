namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// Translations that other vCPUs want this one to forget. Posted on any thread and served on the vCPU's own, before
/// it runs guest code again; the poster waits until the count of served requests has passed its own.
/// </summary>
internal sealed class VcpuRequests
{
    private readonly Lock _lock = new();
    private bool _flushAll;
    private bool _flush;
    private ulong _page;
    private bool _hasPage;
    private long _posted;
    private long _served;

    public bool IsPending => Volatile.Read(ref _posted) != Volatile.Read(ref _served);

    /// <summary>Asks for all translations to be forgotten.</summary>
    /// <returns>The ticket for <see cref="IsServed"/>.</returns>
    public long PostFlush(bool allRoots)
    {
        lock (_lock)
        {
            _flush = true;
            _flushAll |= allRoots;
            return ++_posted;
        }
    }

    /// <summary>Asks for one page to be forgotten.</summary>
    public long PostPage(ulong address)
    {
        lock (_lock)
        {
            // One slot is enough: two pages at once are rare, and a full flush covers them.
            _flush |= _hasPage && _page != address;
            _page = address;
            _hasPage = true;
            return ++_posted;
        }
    }

    public bool IsServed(long ticket) => Volatile.Read(ref _served) >= ticket;

    /// <summary>Carries the requests out, on the vCPU's own thread.</summary>
    public void Serve(IGuestProcessor processor)
    {
        lock (_lock)
        {
            if (_flushAll)
            {
                processor.FlushAllTlbs();
            }
            else if (_flush)
            {
                processor.FlushTlb();
            }
            else if (_hasPage)
            {
                processor.FlushPage(_page);
            }

            _flushAll = false;
            _flush = false;
            _hasPage = false;
            Volatile.Write(ref _served, _posted);
        }
    }
}
