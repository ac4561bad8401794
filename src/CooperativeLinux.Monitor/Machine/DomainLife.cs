namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// Whether a domain runs, pauses or has ended, and with which outcome. The first outcome counts. All members may be
/// used on any thread.
/// </summary>
internal sealed class DomainLife : IDisposable
{
    private readonly ManualResetEventSlim _running = new(initialState: true);
    private DomainOutcome? _outcome;
    private volatile bool _paused;

    /// <summary>Raised once, when the domain has ended: vCPUs must stop. On the thread that ended it.</summary>
    public event Action? Ended;

    /// <summary>Raised when the domain is paused: vCPUs must come to <see cref="WaitWhilePaused"/>.</summary>
    public event Action? Pausing;

    /// <summary>How the domain ended, null while it lives.</summary>
    public DomainOutcome? Outcome => Volatile.Read(ref _outcome);

    public bool HasEnded => Volatile.Read(ref _outcome) is not null;

    public bool IsPaused => _paused;

    /// <summary>Ends the domain, unless it has ended already.</summary>
    /// <returns>Whether this outcome is the one that counts.</returns>
    public bool End(DomainOutcome outcome)
    {
        if (Interlocked.CompareExchange(ref _outcome, outcome, null) is not null)
        {
            return false;
        }

        Ended?.Invoke();
        _paused = false;
        _running.Set();
        return true;
    }

    public void Pause()
    {
        if (HasEnded)
        {
            return;
        }

        _paused = true;
        _running.Reset();
        if (HasEnded)
        {
            Resume();
            return;
        }

        Pausing?.Invoke();
    }

    public void Resume()
    {
        _paused = false;
        _running.Set();
    }

    /// <summary>Called by vCPUs between instructions; returns at once unless paused.</summary>
    public void WaitWhilePaused()
    {
        if (_paused)
        {
            _running.Wait();
        }
    }

    public void Dispose() => _running.Dispose();
}
