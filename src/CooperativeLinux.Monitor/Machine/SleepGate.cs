namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// Where an idle vCPU sleeps. A waker first makes the sleeper's condition true and then calls <see cref="Wake"/>; the sleeper
/// announces itself before it looks at the condition a last time, so no wake-up is lost.
/// </summary>
internal sealed class SleepGate : IDisposable
{
    private readonly AutoResetEvent _event = new(false);
    private int _sleeping;

    /// <summary>Sleeps until woken, unless the condition holds already; may also return for no reason.</summary>
    /// <param name="isDue">The condition waited for.</param>
    /// <param name="state">Passed to the condition, to spare a closure.</param>
    /// <param name="timeout">Milliseconds, or <see cref="Timeout.Infinite"/>.</param>
    /// <returns>False if the time was up.</returns>
    public bool Sleep<T>(Func<T, bool> isDue, T state, int timeout)
    {
        Interlocked.Exchange(ref _sleeping, 1);
        bool woken = isDue(state) || _event.WaitOne(timeout);
        Volatile.Write(ref _sleeping, 0);
        return woken;
    }

    /// <summary>Wakes the sleeper, if there is one. Any thread.</summary>
    public bool Wake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _sleeping) == 0 || Interlocked.Exchange(ref _sleeping, 0) == 0)
        {
            return false;
        }

        _event.Set();
        return true;
    }

    public void Dispose() => _event.Dispose();
}
