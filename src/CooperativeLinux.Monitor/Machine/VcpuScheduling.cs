using CooperativeLinux.Monitor.Events;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// How a vCPU waits (pv-interface 3.9). Runs on its own thread, inside a hypercall or instruction; a sleeping vCPU
/// uses no host CPU.
/// </summary>
internal static class VcpuScheduling
{
    private const ulong NanosecondsPerMillisecond = 1_000_000;

    /// <summary>SCHEDOP_block: unmasks events and sleeps until one is pending.</summary>
    public static void Block(VcpuContext vcpu)
    {
        if (vcpu.HasInfo)
        {
            // A full barrier: the look at upcall_pending must not come first.
            Interlocked.Exchange(ref vcpu.Info.UpcallMask, (byte)0);
        }

        Idle(vcpu);
    }

    /// <summary>Sleeps until an event or NMI can be delivered, with the upcall mask as it is.</summary>
    public static void Idle(VcpuContext vcpu)
    {
        while (!IsWakeDue(vcpu))
        {
            vcpu.Gate.Sleep(static candidate => IsWakeDue(candidate) || candidate.MustAttend, vcpu, Timeout.Infinite);
            vcpu.Attend();
        }
    }

    /// <summary>SCHEDOP_poll after <see cref="EventChannels.BeginPoll"/>: sleeps until it is done or the time is up.</summary>
    /// <param name="vcpu">The vCPU.</param>
    /// <param name="channels">Its event channels.</param>
    /// <param name="deadline">System time in ns, 0: none.</param>
    /// <param name="clock">What the deadline is measured by.</param>
    public static void Poll(VcpuContext vcpu, EventChannels channels, ulong deadline, IDomainClock clock)
    {
        (VcpuContext Vcpu, EventChannels Channels) state = (vcpu, channels);
        while (!channels.IsPollDone(vcpu.Index) && !IsWakeDue(vcpu))
        {
            int timeout = Timeout.Infinite;
            if (deadline != 0)
            {
                ulong now = clock.SystemTime;
                if (now >= deadline)
                {
                    return;
                }

                ulong milliseconds = (deadline - now + NanosecondsPerMillisecond - 1) / NanosecondsPerMillisecond;
                timeout = (int)Math.Min(milliseconds, int.MaxValue);
            }

            vcpu.Gate.Sleep(
                static waiter => waiter.Channels.IsPollDone(waiter.Vcpu.Index) || IsWakeDue(waiter.Vcpu) || waiter.Vcpu.MustAttend, state, timeout);
            vcpu.Attend();
        }
    }

    /// <summary>VCPUOP_down: sleeps until another vCPU brings this one up again.</summary>
    public static void SleepWhileDown(VcpuContext vcpu)
    {
        while (!vcpu.IsUp && !vcpu.Life.HasEnded)
        {
            vcpu.Gate.Sleep(static candidate => candidate.IsUp || candidate.Life.HasEnded || candidate.MustAttend, vcpu, Timeout.Infinite);
            vcpu.Attend();
        }
    }

    private static bool IsWakeDue(VcpuContext vcpu) => vcpu.IsUpcallDue || vcpu.IsNmiDue || vcpu.Life.HasEnded;
}
