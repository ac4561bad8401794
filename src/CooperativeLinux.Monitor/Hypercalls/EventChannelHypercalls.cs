using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>event_channel_op (pv-interface 4.2). The FIFO operations are refused, so that the kernel uses the two-level ABI.</summary>
internal sealed class EventChannelHypercalls(DomainServices domain)
{
    private const ulong BindInterdomain = 0, BindVirq = 1, BindPirq = 2, Close = 3, Send = 4, Status = 5, AllocateUnbound = 6,
        BindIpi = 7, BindVcpu = 8, Unmask = 9, Reset = 10;

    public long Execute(VcpuContext vcpu, in HypercallArguments arguments)
    {
        EventChannels events = domain.Events;
        IGuestProcessor memory = vcpu.Processor;
        ulong address = arguments.B;
        switch (arguments.A)
        {
            case Send:
                return memory.TryRead(address, out uint sent) ? events.Send(sent) : -XenError.EFAULT;
            case Unmask:
                return memory.TryRead(address, out uint unmasked) ? events.Unmask(unmasked) : -XenError.EFAULT;
            case Close:
                return memory.TryRead(address, out uint closed) ? events.Close(closed) : -XenError.EFAULT;
            case BindVirq:
                if (!memory.TryRead(address, out VirqRequest virq))
                {
                    return -XenError.EFAULT;
                }

                return Answer(vcpu, address + VirqRequest.PortOffset, events.BindVirq(virq.Virq, virq.Vcpu, out uint virqPort), virqPort);
            case BindIpi:
                if (!memory.TryRead(address, out uint ipiVcpu))
                {
                    return -XenError.EFAULT;
                }

                return Answer(vcpu, address + 4, events.BindIpi(ipiVcpu, out uint ipiPort), ipiPort);
            case AllocateUnbound:
                return Allocate(vcpu, address);
            case BindVcpu:
                return memory.TryRead(address, out PortAndVcpu target) ? events.BindVcpu(target.Port, target.Vcpu) : -XenError.EFAULT;
            case Status:
                return ReportStatus(vcpu, address);
            case Reset:
                return memory.TryRead(address, out ushort reset)
                    ? domain.IsSelf(reset) ? events.Reset() : -XenError.ESRCH
                    : -XenError.EFAULT;
            case BindInterdomain or BindPirq:
                return -XenError.EINVAL;
            default:
                return -XenError.ENOSYS;
        }
    }

    private long Allocate(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out UnboundRequest request))
        {
            return -XenError.EFAULT;
        }

        if (!domain.IsSelf(request.Domain))
        {
            return -XenError.EPERM;
        }

        return Answer(vcpu, address + UnboundRequest.PortOffset, domain.Events.AllocateUnbound(request.RemoteDomain, out uint port), port);
    }

    /// <summary>Writes the new port; takes it back if that fails.</summary>
    private long Answer(VcpuContext vcpu, ulong address, int result, uint port)
    {
        if (result == 0 && !vcpu.Processor.TryWrite(address, port))
        {
            _ = domain.Events.Close(port);
            return -XenError.EFAULT;
        }

        return result;
    }

    private long ReportStatus(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out StatusReport report))
        {
            return -XenError.EFAULT;
        }

        if (!domain.IsSelf(report.Domain))
        {
            return -XenError.ESRCH;
        }

        int result = domain.Events.Status(report.Port, out ChannelStatus status);
        if (result != 0)
        {
            return result;
        }

        report.State = (uint)status.State;
        report.Vcpu = (uint)status.Vcpu;
        report.Detail = status.State switch
        {
            ChannelState.Virq => status.Virq,
            ChannelState.Unbound => status.RemoteDomain,
            ChannelState.Interdomain => status.RemoteDomain | ((ulong)status.RemotePort << 32),
            _ => 0,
        };
        return vcpu.Processor.TryWrite(address, report) ? 0 : -XenError.EFAULT;
    }

    [StructLayout(LayoutKind.Explicit, Size = 12)]
    private struct VirqRequest
    {
        public const int PortOffset = 8;

        [FieldOffset(0)] public uint Virq;
        [FieldOffset(4)] public uint Vcpu;
    }

    [StructLayout(LayoutKind.Explicit, Size = 8)]
    private struct UnboundRequest
    {
        public const int PortOffset = 4;

        [FieldOffset(0)] public ushort Domain;
        [FieldOffset(2)] public ushort RemoteDomain;
    }

    [StructLayout(LayoutKind.Explicit, Size = 8)]
    private struct PortAndVcpu
    {
        [FieldOffset(0)] public uint Port;
        [FieldOffset(4)] public uint Vcpu;
    }

    [StructLayout(LayoutKind.Explicit, Size = 24)]
    private struct StatusReport
    {
        [FieldOffset(0)] public ushort Domain;
        [FieldOffset(4)] public uint Port;
        [FieldOffset(8)] public uint State;
        [FieldOffset(12)] public uint Vcpu;

        /// <summary>VIRQ number, or remote domain and, in the upper half, remote port.</summary>
        [FieldOffset(16)] public ulong Detail;
    }
}
