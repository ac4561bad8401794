using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>vcpu_op: vCPUs, their timers and shared areas (pv-interface 3.6).</summary>
internal sealed class VcpuHypercalls(DomainServices domain)
{
    private const ulong Initialise = 0, Up = 1, Down = 2, IsUp = 3, GetRunstate = 4, RegisterRunstate = 5, SetPeriodic = 6,
        StopPeriodic = 7, SetSingleShot = 8, StopSingleShot = 9, RegisterInfo = 10, SendNmi = 11, GetPhysicalId = 12, RegisterTime = 13;

    private const uint OnlyFuture = 1;

    public long Execute(VcpuContext vcpu, in HypercallArguments arguments)
    {
        if (arguments.B >= (ulong)domain.Vcpus.Count)
        {
            return -XenError.ENOENT;
        }

        VcpuContext target = domain.Vcpus[(int)arguments.B];
        ulong address = arguments.C;
        switch (arguments.A)
        {
            case SetSingleShot:
                return vcpu.Processor.TryRead(address, out SingleShotRequest single)
                    ? domain.Timers.SetSingleShot(target.Index, single.Deadline, (single.Flags & OnlyFuture) != 0)
                    : -XenError.EFAULT;
            case StopSingleShot:
                return domain.Timers.StopSingleShot(target.Index);
            case SetPeriodic:
                return vcpu.Processor.TryRead(address, out ulong period) ? domain.Timers.SetPeriodic(target.Index, period) : -XenError.EFAULT;
            case StopPeriodic:
                return domain.Timers.StopPeriodic(target.Index);
            case Initialise:
                return VcpuInitialisation.Execute(vcpu, target, address);
            case Up:
                return BringUp(target);
            case Down:
                return TakeDown(target);
            case IsUp:
                return target.IsUp ? 1 : 0;
            case GetRunstate:
                return WriteRunstate(vcpu, address);
            case RegisterRunstate:
                return RegisterRunstateArea(vcpu, address);
            case RegisterInfo:
                return RegisterVcpuInfo(vcpu, target, address);
            case SendNmi:
                target.NmiPending = true;
                target.Kick();
                return 0;
            case GetPhysicalId:
                return -XenError.EINVAL;
            case RegisterTime:
                return RegisterTimeArea(vcpu, target, address);
            default:
                return -XenError.ENOSYS;
        }
    }

    private long BringUp(VcpuContext target)
    {
        if (!target.IsInitialised)
        {
            return -XenError.EINVAL;
        }

        if (!target.IsUp)
        {
            target.IsUp = true;
            domain.StartVcpu(target);
        }

        return 0;
    }

    private long TakeDown(VcpuContext target)
    {
        target.IsUp = false;
        foreach (VcpuContext vcpu in domain.Vcpus)
        {
            if (vcpu.IsUp)
            {
                // Itself: sleeps in OnSyscall's end. Another: at its next poll point.
                target.Kick();
                return 0;
            }
        }

        domain.Life.End(new DomainOutcome(DomainOutcomeKind.PowerOff, "the last vCPU went down"));
        return 0;
    }

    /// <summary>Tells that the vCPU has run all the time: no time is taken from the guest knowingly.</summary>
    private long WriteRunstate(VcpuContext vcpu, ulong address)
    {
        Runstate runstate = new() { RunningTime = (ulong)domain.Clock.NowNs };
        return vcpu.Processor.TryWrite(address, runstate) ? 0 : -XenError.EFAULT;
    }

    private long RegisterRunstateArea(VcpuContext vcpu, ulong address)
    {
        // The copy says "running" once and is never touched again, which is a valid history without stolen time.
        return vcpu.Processor.TryRead(address, out ulong area) ? WriteRunstate(vcpu, area) : -XenError.EFAULT;
    }

    private long RegisterVcpuInfo(VcpuContext vcpu, VcpuContext target, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out InfoRequest request))
        {
            return -XenError.EFAULT;
        }

        int result = domain.Events.RegisterVcpuInfo(target.Index, request.Frame, request.Offset);
        target.RefreshInfo();
        return result;
    }

    /// <summary>The second copy of the time values, for the vDSO. Its virtual address is looked up once: the guest keeps the page.</summary>
    private long RegisterTimeArea(VcpuContext vcpu, VcpuContext target, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out ulong area))
        {
            return -XenError.EFAULT;
        }

        if (area == 0)
        {
            return domain.Clock.SetTimeArea(target.Index, null) ? 0 : -XenError.EINVAL;
        }

        if ((area % GuestMemory.PageSize) + VcpuTimeInfo.TotalSize > GuestMemory.PageSize
            || !vcpu.Processor.TryTranslate(area, AccessKind.Write, out ulong physical))
        {
            return -XenError.EFAULT;
        }

        GuestMemory memory = domain.Memory;
        return domain.Clock.SetTimeArea(target.Index, (in VcpuTimeInfo info) => memory.TryWrite(physical, info)) ? 0 : -XenError.EFAULT;
    }

    [StructLayout(LayoutKind.Explicit, Size = 16)]
    private struct SingleShotRequest
    {
        /// <summary>System time in ns.</summary>
        [FieldOffset(0)] public ulong Deadline;
        [FieldOffset(8)] public uint Flags;
    }

    [StructLayout(LayoutKind.Explicit, Size = 16)]
    private struct InfoRequest
    {
        [FieldOffset(0)] public ulong Frame;
        [FieldOffset(8)] public uint Offset;
    }

    /// <summary>State 0 (running), time of entry, ns in each of the four states.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 48)]
    private struct Runstate
    {
        [FieldOffset(0)] public uint State;
        [FieldOffset(8)] public ulong EntryTime;
        [FieldOffset(16)] public ulong RunningTime;
    }
}
