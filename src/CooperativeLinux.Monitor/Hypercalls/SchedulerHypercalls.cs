using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Time;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>sched_op: idling, polling, the end of the domain (pv-interface 3.9).</summary>
internal sealed class SchedulerHypercalls(DomainServices domain)
{
    private const ulong Yield = 0, Block = 1, Shutdown = 2, Poll = 3, RemoteShutdown = 4, ShutdownCode = 5, Watchdog = 6;

    private const uint ReasonPowerOff = 0, ReasonReboot = 1, ReasonSuspend = 2, ReasonCrash = 3, ReasonWatchdog = 4;

    /// <summary>Answer to a suspend: it was cancelled, go on in the same domain.</summary>
    private const long SuspendCancelled = 1;

    private readonly DomainWatchdog _watchdog = new(domain.Life);

    public long Execute(VcpuContext vcpu, in HypercallArguments arguments)
    {
        switch (arguments.A)
        {
            case Yield:
                Thread.Yield();
                return 0;
            case Block:
                vcpu.Scheduler.Block();
                return 0;
            case Shutdown:
                return vcpu.Processor.TryRead(arguments.B, out uint reason) ? ShutDown(vcpu, reason) : -XenError.EFAULT;
            case Poll:
                return PollPorts(vcpu, arguments.B);
            case Watchdog:
                return vcpu.Processor.TryRead(arguments.B, out WatchdogRequest request)
                    ? _watchdog.Set(request.Id, request.Timeout)
                    : -XenError.EFAULT;
            case RemoteShutdown or ShutdownCode:
                return -XenError.EPERM;
            default:
                return -XenError.ENOSYS;
        }
    }

    private long ShutDown(VcpuContext vcpu, uint reason)
    {
        switch (reason)
        {
            case ReasonPowerOff:
                domain.Life.End(new DomainOutcome(DomainOutcomeKind.PowerOff, string.Empty));
                return 0;
            case ReasonReboot:
                domain.Life.End(new DomainOutcome(DomainOutcomeKind.Reboot, string.Empty));
                return 0;
            case ReasonSuspend:
                // The guest reads the wall clock before and after, and sets its time of day by the difference.
                domain.Clock.SetWallClock();
                return SuspendCancelled;
            case ReasonCrash:
                vcpu.Crash("the guest kernel crashed");
                return 0;
            case ReasonWatchdog:
                domain.Life.End(new DomainOutcome(DomainOutcomeKind.Watchdog, "the guest reported a watchdog"));
                return 0;
            default:
                vcpu.Crash($"the guest shut down for an unknown reason, {reason}");
                return 0;
        }
    }

    private long PollPorts(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out PollRequest request))
        {
            return -XenError.EFAULT;
        }

        if (request.Count > EventChannels.MaxPollPorts)
        {
            return -XenError.EINVAL;
        }

        Span<uint> ports = stackalloc uint[(int)request.Count];
        if (!ports.IsEmpty && !vcpu.Processor.TryRead(request.Ports, MemoryMarshal.AsBytes(ports), out _))
        {
            return -XenError.EFAULT;
        }

        int result = domain.Events.BeginPoll(vcpu.Index, ports);
        if (result == 0)
        {
            vcpu.Scheduler.Poll(request.Timeout == 0 ? VcpuTimers.Never : (long)Math.Min(request.Timeout, VcpuTimers.Never));
            domain.Events.EndPoll(vcpu.Index);
        }

        return result;
    }

    [StructLayout(LayoutKind.Explicit, Size = 24)]
    private struct PollRequest
    {
        [FieldOffset(0)] public ulong Ports;
        [FieldOffset(8)] public uint Count;

        /// <summary>System time in ns; 0: none.</summary>
        [FieldOffset(16)] public ulong Timeout;
    }

    [StructLayout(LayoutKind.Explicit, Size = 8)]
    private struct WatchdogRequest
    {
        [FieldOffset(0)] public uint Id;

        /// <summary>Seconds; 0: end this watchdog.</summary>
        [FieldOffset(4)] public uint Timeout;
    }
}
