using CooperativeLinux.Host.Timing;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Hypercalls;

namespace CooperativeLinux.Monitor.Time;

/// <summary>
/// The timers of each vCPU: one single-shot, one periodic; both raise VIRQ_TIMER. A vCPU that sleeps here
/// (<see cref="SleepUntil"/>) wakes itself at its own deadline; for vCPUs that run, one shared thread does. No timer is ever
/// early by the guest's clock.
/// </summary>
public sealed class VcpuTimers : IDisposable
{
    /// <summary>Deadline of a timer that is not set.</summary>
    public const long Never = long.MaxValue;

    private const ulong ShortestPeriodNs = 1_000_000;

    private readonly PvClock _clock;
    private readonly EventChannels _events;
    private readonly IVcpuKick _kick;
    private readonly Lock _gate = new();
    private readonly Timer[] _timers;
    private readonly PreciseEvent _wake = PreciseEvent.Create();
    private readonly Thread _thread;

    // System time the thread sleeps until.
    private long _threadTarget = Never;
    private volatile bool _isStopping;

    public VcpuTimers(PvClock clock, EventChannels events, IVcpuKick kick)
    {
        _clock = clock;
        _events = events;
        _kick = kick;
        _timers = new Timer[events.Vcpus.VcpuCount];
        for (int vcpu = 0; vcpu < _timers.Length; vcpu++)
        {
            _timers[vcpu] = new Timer();
        }

        _thread = new Thread(RunThread) { IsBackground = true, Name = "vCPU timers", Priority = ThreadPriority.AboveNormal };
        _thread.Start();
    }

    /// <summary>VCPUOP_set_singleshot_timer and HYPERVISOR_set_timer_op.</summary>
    /// <param name="vcpu">vCPU number.</param>
    /// <param name="deadlineNs">System time; a past one raises at once.</param>
    /// <param name="onlyFuture">Refuse a past deadline.</param>
    /// <returns>0, −ENOENT (no such vCPU), −ETIME (refused).</returns>
    public int SetSingleShot(int vcpu, ulong deadlineNs, bool onlyFuture = false)
    {
        if (!_events.Vcpus.Exists(vcpu))
        {
            return -XenError.ENOENT;
        }

        long deadline = deadlineNs >= Never ? Never : (long)deadlineNs;
        bool isPast = deadline <= _clock.NowNs;
        if (isPast && onlyFuture)
        {
            return -XenError.ETIME;
        }

        Arm(vcpu, static (timer, value) => timer.SingleShot = value, isPast ? Never : deadline);
        if (isPast)
        {
            _events.RaiseVirq(vcpu, Virq.Timer);
        }

        return 0;
    }

    /// <summary>VCPUOP_stop_singleshot_timer.</summary>
    /// <returns>0 or −ENOENT.</returns>
    public int StopSingleShot(int vcpu) => Arm(vcpu, static (timer, value) => timer.SingleShot = value, Never);

    /// <summary>VCPUOP_set_periodic_timer.</summary>
    /// <returns>0, −ENOENT (no such vCPU), −EINVAL (period under a millisecond or beyond reason).</returns>
    public int SetPeriodic(int vcpu, ulong periodNs)
    {
        if (periodNs is < ShortestPeriodNs or > long.MaxValue / 4)
        {
            return -XenError.EINVAL;
        }

        long first = _clock.NowNs + (long)periodNs;
        return Arm(
            vcpu,
            static (timer, value) =>
            {
                timer.Period = value.PeriodNs;
                timer.Periodic = value.First;
            },
            (PeriodNs: (long)periodNs, First: first));
    }

    /// <summary>VCPUOP_stop_periodic_timer. The periodic timer is off until set, which the guest cannot tell: it stops it before it
    /// binds the interrupt.</summary>
    /// <returns>0 or −ENOENT.</returns>
    public int StopPeriodic(int vcpu) => Arm(vcpu, static (timer, value) => timer.Periodic = value, Never);

    /// <summary>The vCPU's earliest deadline in system time, or <see cref="Never"/>.</summary>
    public long NextDeadlineNs(int vcpu)
    {
        lock (_gate)
        {
            return _timers[vcpu].Next;
        }
    }

    /// <summary>Raises VIRQ_TIMER if a deadline of the vCPU has come. Returns whether it did.</summary>
    public bool Expire(int vcpu)
    {
        bool isDue;
        lock (_gate)
        {
            isDue = _timers[vcpu].TakeDue(_clock.NowNs);
        }

        if (isDue)
        {
            _events.RaiseVirq(vcpu, Virq.Timer);
        }

        return isDue;
    }

    /// <summary>
    /// Sleeps on the vCPU's own thread until <paramref name="isDone"/>, handling the vCPU's timers meanwhile: SCHEDOP_block
    /// and SCHEDOP_poll. Whoever makes <paramref name="isDone"/> true must set <paramref name="wake"/>, usually in
    /// <see cref="IVcpuKick.Kick"/>.
    /// </summary>
    /// <param name="vcpu">vCPU number.</param>
    /// <param name="wake">The vCPU's event.</param>
    /// <param name="isDone">Asked before each sleep.</param>
    /// <param name="timeoutNs">System time to give up at.</param>
    /// <returns>False on time-out.</returns>
    public bool SleepUntil(int vcpu, PreciseEvent wake, Func<bool> isDone, long timeoutNs = Never)
    {
        Timer timer = _timers[vcpu];
        lock (_gate)
        {
            timer.IsAsleep = true;
        }

        try
        {
            while (!isDone())
            {
                if (Expire(vcpu))
                {
                    continue;
                }

                long now = _clock.NowNs;
                if (now >= timeoutNs)
                {
                    return false;
                }

                long next = Math.Min(NextDeadlineNs(vcpu), timeoutNs);
                wake.Wait(next == Never ? PreciseEvent.Infinite : next - now);
            }

            return true;
        }
        finally
        {
            lock (_gate)
            {
                timer.IsAsleep = false;
                WakeThreadFor(timer.Next);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_isStopping)
        {
            _isStopping = true;
            _wake.Set();
            _thread.Join();
            _wake.Dispose();
        }
    }

    private int Arm<T>(int vcpu, Action<Timer, T> change, T argument)
    {
        if (!_events.Vcpus.Exists(vcpu))
        {
            return -XenError.ENOENT;
        }

        bool isAsleep;
        lock (_gate)
        {
            Timer timer = _timers[vcpu];
            change(timer, argument);
            isAsleep = timer.IsAsleep;
            if (!isAsleep)
            {
                WakeThreadFor(timer.Next);
            }
        }

        if (isAsleep)
        {
            // Another vCPU set this one's timer: it looks at its deadline again.
            _kick.Kick(vcpu);
        }

        return 0;
    }

    /// <summary>The thread may sleep on past a deadline that moved later or vanished: it then looks once in vain, which costs less
    /// than waking it for every change.</summary>
    private void WakeThreadFor(long deadline)
    {
        if (deadline < _threadTarget)
        {
            _threadTarget = deadline;
            _wake.Set();
        }
    }

    private void RunThread()
    {
        while (!_isStopping)
        {
            ulong due = 0;
            long next = Never;
            long now = _clock.NowNs;
            lock (_gate)
            {
                for (int vcpu = 0; vcpu < _timers.Length; vcpu++)
                {
                    Timer timer = _timers[vcpu];
                    if (timer.IsAsleep)
                    {
                        continue;
                    }

                    if (timer.TakeDue(now))
                    {
                        due |= 1UL << vcpu;
                    }

                    next = Math.Min(next, timer.Next);
                }

                _threadTarget = next;
            }

            for (int vcpu = 0; due != 0; vcpu++, due >>= 1)
            {
                if ((due & 1) != 0)
                {
                    _events.RaiseVirq(vcpu, Virq.Timer);
                }
            }

            _wake.Wait(next == Never ? PreciseEvent.Infinite : next - _clock.NowNs);
        }
    }

    /// <summary>Deadlines of one vCPU, in system time; under the lock.</summary>
    private sealed class Timer
    {
        public long SingleShot { get; set; } = Never;

        public long Periodic { get; set; } = Never;

        public long Period { get; set; }

        /// <summary>The vCPU's own thread looks after the timers.</summary>
        public bool IsAsleep { get; set; }

        public long Next => Math.Min(SingleShot, Periodic);

        /// <summary>Takes what is due away, once for each deadline.</summary>
        public bool TakeDue(long now)
        {
            bool isDue = false;
            if (SingleShot <= now)
            {
                SingleShot = Never;
                isDue = true;
            }

            if (Periodic <= now)
            {
                Periodic += ((now - Periodic) / Period * Period) + Period;
                isDue = true;
            }

            return isDue;
        }
    }
}
