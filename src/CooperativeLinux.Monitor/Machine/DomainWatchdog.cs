using CooperativeLinux.Monitor.Hypercalls;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>The two watchdogs a guest can set: one that is not set again in time ends the domain.</summary>
internal sealed class DomainWatchdog(DomainLife life)
{
    private const int Count = 2;

    private readonly Lock _lock = new();
    private readonly Timer?[] _timers = new Timer?[Count];

    /// <summary>SCHEDOP_watchdog.</summary>
    /// <param name="id">1 or 2; 0 takes a free one.</param>
    /// <param name="timeout">Seconds; 0 ends the watchdog.</param>
    /// <returns>The new id for id 0; else 0, −EINVAL (bad id), −ENOSPC (none free), −EEXIST (not set).</returns>
    public long Set(uint id, uint timeout)
    {
        const uint MaxSeconds = 0x3f_ffff;
        if (id > Count || timeout > MaxSeconds)
        {
            return -XenError.EINVAL;
        }

        lock (_lock)
        {
            if (id == 0)
            {
                int free = Array.IndexOf(_timers, null);
                if (timeout == 0)
                {
                    return -XenError.EINVAL;
                }

                if (free < 0)
                {
                    return -XenError.ENOSPC;
                }

                _timers[free] = new Timer(Expire, null, TimeSpan.FromSeconds(timeout), System.Threading.Timeout.InfiniteTimeSpan);
                return free + 1;
            }

            ref Timer? timer = ref _timers[id - 1];
            if (timer is null)
            {
                return -XenError.EEXIST;
            }

            if (timeout == 0)
            {
                timer.Dispose();
                timer = null;
            }
            else
            {
                timer.Change(TimeSpan.FromSeconds(timeout), System.Threading.Timeout.InfiniteTimeSpan);
            }

            return 0;
        }
    }

    private void Expire(object? state) =>
        life.End(new DomainOutcome(DomainOutcomeKind.Watchdog, "the guest did not serve its watchdog in time"));
}
