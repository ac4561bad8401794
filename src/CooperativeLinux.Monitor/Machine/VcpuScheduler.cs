using CooperativeLinux.Host.Timing;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Time;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// How one vCPU waits and is woken (pv-interface 3.9). It waits on its own thread, inside a hypercall or instruction,
/// and uses no host CPU meanwhile.
/// </summary>
internal sealed class VcpuScheduler : IDisposable
{
    private readonly VcpuContext _vcpu;
    private readonly EventChannels _events;
    private readonly VcpuTimers _timers;
    private readonly PreciseEvent _wake = PreciseEvent.Create();

    // Conditions to stop sleeping, made once: idling does not allocate.
    private readonly Func<bool> _isIdleOver;
    private readonly Func<bool> _isPollOver;
    private readonly Func<bool> _isDownOver;
    private int _isAsleep;

    public VcpuScheduler(VcpuContext vcpu, EventChannels events, VcpuTimers timers)
    {
        _vcpu = vcpu;
        _events = events;
        _timers = timers;
        _isIdleOver = () => IsWakeDue || _vcpu.MustAttend;
        _isPollOver = () => IsPollOver || _vcpu.MustAttend;
        _isDownOver = () => IsDownOver || _vcpu.MustAttend;
    }

    private bool IsWakeDue => _vcpu.IsUpcallDue || _vcpu.IsNmiDue || _vcpu.Life.HasEnded;

    private bool IsPollOver => IsWakeDue || _events.IsPollDone(_vcpu.Index);

    private bool IsDownOver => _vcpu.IsUp || _vcpu.Life.HasEnded;

    /// <summary>SCHEDOP_block: unmasks events and sleeps until one is pending.</summary>
    public void Block()
    {
        _events.UnmaskUpcalls(_vcpu.Index);
        Idle();
    }

    /// <summary>Sleeps until an event or NMI can be delivered, with the upcall mask as it is.</summary>
    public void Idle()
    {
        while (!IsWakeDue)
        {
            Sleep(_isIdleOver, VcpuTimers.Never);
        }
    }

    /// <summary>SCHEDOP_poll between BeginPoll and EndPoll: sleeps until a port is pending or the time is up.</summary>
    /// <param name="deadline">System time in ns, or <see cref="VcpuTimers.Never"/>.</param>
    public void Poll(long deadline)
    {
        while (!IsPollOver && Sleep(_isPollOver, deadline))
        {
        }
    }

    /// <summary>VCPUOP_down: sleeps until another vCPU brings this one up again.</summary>
    public void SleepWhileDown()
    {
        while (!IsDownOver)
        {
            Sleep(_isDownOver, VcpuTimers.Never);
        }
    }

    /// <summary>Wakes the sleeper, if it sleeps. The condition must have been made true before. Any thread.</summary>
    /// <returns>Whether it slept.</returns>
    public bool TryWake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _isAsleep) == 0)
        {
            return false;
        }

        _wake.Set();
        return true;
    }

    public void Dispose() => _wake.Dispose();

    private bool Sleep(Func<bool> isOver, long deadline)
    {
        // Full barriers on both sides: a waker that finds nobody asleep has made its condition true before we look.
        Interlocked.Exchange(ref _isAsleep, 1);
        bool isDone = _timers.SleepUntil(_vcpu.Index, _wake, isOver, deadline);
        Interlocked.Exchange(ref _isAsleep, 0);
        _vcpu.Attend();
        return isDone;
    }
}
