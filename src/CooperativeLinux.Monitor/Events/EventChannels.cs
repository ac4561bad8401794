using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Events;

/// <summary>
/// Event channels of one domain, two-level ABI: 4096 ports whose pending and mask bits lie in shared_info.
/// All members may be called on any thread. Methods that carry out a hypercall return 0 or a negated <see cref="XenError"/>.
/// </summary>
/// <remarks>
/// Locks: <c>_gate</c> orders allocation and closing; each port has its own lock, which raising takes, so that a raise never
/// leaves a pending bit behind on a port that is being closed. Order: gate, then port. Neither is held while calling out.
/// </remarks>
public sealed partial class EventChannels
{
    /// <summary>Ports, including the invalid port 0.</summary>
    public const int PortCount = 4096;

    private const ushort HostDomain = 0;

    private readonly SharedInfoPage _shared;
    private readonly VcpuInfoTable _vcpus;
    private readonly IVcpuKick _kick;
    private readonly Lock _gate = new();
    private readonly Port[] _ports = new Port[PortCount];

    // Port of each vCPU's virtual interrupts, 0: not bound. Global ones are in vCPU 0's row.
    private readonly uint[] _virqPorts;

    public EventChannels(SharedInfoPage sharedInfo, VcpuInfoTable vcpus, IVcpuKick kick)
    {
        _shared = sharedInfo;
        _vcpus = vcpus;
        _kick = kick;
        _virqPorts = new uint[vcpus.VcpuCount * (int)Virq.Count];
        _pollSets = new uint[]?[vcpus.VcpuCount];
        for (int port = 0; port < PortCount; port++)
        {
            _ports[port] = new Port();
        }
    }

    /// <summary>Makes the page and the table itself, at the usual frame.</summary>
    public EventChannels(GuestMemory memory, int vcpuCount, IVcpuKick kick)
        : this(memory, new SharedInfoPage(memory), vcpuCount, kick)
    {
    }

    private EventChannels(GuestMemory memory, SharedInfoPage page, int vcpuCount, IVcpuKick kick)
        : this(page, new VcpuInfoTable(memory, page, vcpuCount), kick)
    {
    }

    /// <summary>The shared_info page.</summary>
    public SharedInfoPage SharedInfo => _shared;

    /// <summary>The vcpu_info of each vCPU.</summary>
    public VcpuInfoTable Vcpus => _vcpus;

    /// <summary>VCPUOP_register_vcpu_info; see <see cref="VcpuInfoTable.Register"/>.</summary>
    public int RegisterVcpuInfo(int vcpu, ulong mfn, uint offset)
    {
        int result = _vcpus.Register(vcpu, mfn, offset);
        if (result == 0)
        {
            _kick.Kick(vcpu);
        }

        return result;
    }

    /// <summary>EVTCHNOP_bind_virq.</summary>
    /// <returns>0, −EINVAL (no such interrupt, or a global one not on vCPU 0), −ENOENT (no such vCPU), −EEXIST, −ENOSPC.</returns>
    public int BindVirq(uint virq, uint vcpu, out uint port)
    {
        port = 0;
        if (virq >= Virq.Count || (!Virq.IsPerVcpu(virq) && vcpu != 0))
        {
            return -XenError.EINVAL;
        }

        if (!Exists(vcpu))
        {
            return -XenError.ENOENT;
        }

        lock (_gate)
        {
            ref uint bound = ref _virqPorts[VirqIndex((int)vcpu, virq)];
            if (bound != 0)
            {
                return -XenError.EEXIST;
            }

            int result = Open(ChannelState.Virq, (int)vcpu, virq, 0, null, out port);
            if (result == 0)
            {
                Volatile.Write(ref bound, port);
            }

            return result;
        }
    }

    /// <summary>EVTCHNOP_bind_ipi.</summary>
    /// <returns>0, −ENOENT (no such vCPU), −ENOSPC.</returns>
    public int BindIpi(uint vcpu, out uint port)
    {
        port = 0;
        if (!Exists(vcpu))
        {
            return -XenError.ENOENT;
        }

        lock (_gate)
        {
            return Open(ChannelState.Ipi, (int)vcpu, 0, 0, null, out port);
        }
    }

    /// <summary>EVTCHNOP_alloc_unbound: a port that <paramref name="remoteDomain"/> may bind.</summary>
    /// <returns>0 or −ENOSPC.</returns>
    public int AllocateUnbound(ushort remoteDomain, out uint port)
    {
        lock (_gate)
        {
            return Open(ChannelState.Unbound, 0, 0, remoteDomain, null, out port);
        }
    }

    /// <summary>EVTCHNOP_close.</summary>
    /// <returns>0 or −EINVAL (not open).</returns>
    public int Close(uint port)
    {
        lock (_gate)
        {
            return IsValid(port) && CloseLocked(port) ? 0 : -XenError.EINVAL;
        }
    }

    /// <summary>EVTCHNOP_reset: closes every port.</summary>
    public int Reset()
    {
        lock (_gate)
        {
            for (uint port = 1; port < PortCount; port++)
            {
                CloseLocked(port);
            }
        }

        return 0;
    }

    /// <summary>EVTCHNOP_send. A host backend is called on this thread.</summary>
    /// <returns>0 or −EINVAL (not open, or a virtual interrupt).</returns>
    public int Send(uint port)
    {
        if (!IsValid(port))
        {
            return -XenError.EINVAL;
        }

        Port entry = _ports[port];
        HostChannel? host;
        lock (entry)
        {
            switch (entry.State)
            {
                case ChannelState.Interdomain:
                    host = entry.Host;
                    break;
                case ChannelState.Unbound:
                case ChannelState.Ipi:
                    host = null;
                    break;
                default:
                    return -XenError.EINVAL;
            }
        }

        if (host is not null)
        {
            host.Signal();
        }
        else
        {
            RaiseIf(port, new Expectation(ChannelState.Ipi));
        }

        return 0;
    }

    /// <summary>EVTCHNOP_status.</summary>
    /// <returns>0 or −EINVAL (no such port number).</returns>
    public int Status(uint port, out ChannelStatus status)
    {
        status = default;
        if (!IsValid(port))
        {
            return -XenError.EINVAL;
        }

        Port entry = _ports[port];
        lock (entry)
        {
            // The host's ends have no numbers of their own; the guest's serve as the peer's.
            uint remotePort = entry.State == ChannelState.Interdomain ? port : 0;
            status = new ChannelStatus(entry.State, entry.Vcpu, entry.Virq, entry.RemoteDomain, remotePort);
        }

        return 0;
    }

    /// <summary>EVTCHNOP_bind_vcpu: moves a port to another vCPU.</summary>
    /// <returns>0, −ENOENT (no such vCPU), −EINVAL (not open, or tied to its vCPU).</returns>
    public int BindVcpu(uint port, uint vcpu)
    {
        if (!Exists(vcpu))
        {
            return -XenError.ENOENT;
        }

        if (!IsValid(port))
        {
            return -XenError.EINVAL;
        }

        Port entry = _ports[port];
        bool kick;
        lock (entry)
        {
            bool isMovable = entry.State is ChannelState.Unbound or ChannelState.Interdomain
                || (entry.State == ChannelState.Virq && !Virq.IsPerVcpu(entry.Virq));
            if (!isMovable)
            {
                return -XenError.EINVAL;
            }

            entry.Vcpu = (int)vcpu;
            kick = IsPending(port) && !IsMasked(port) && Select(port, (int)vcpu);
        }

        if (kick)
        {
            _kick.Kick((int)vcpu);
        }

        return 0;
    }

    /// <summary>EVTCHNOP_unmask.</summary>
    /// <returns>0 or −EINVAL (not open).</returns>
    public int Unmask(uint port)
    {
        if (!IsValid(port))
        {
            return -XenError.EINVAL;
        }

        Port entry = _ports[port];
        bool kick;
        int vcpu;
        lock (entry)
        {
            if (entry.State == ChannelState.Closed)
            {
                return -XenError.EINVAL;
            }

            vcpu = entry.Vcpu;
            Interlocked.And(ref _shared.Value.Mask[(int)(port / 64)], ~Bit(port));
            kick = IsPending(port) && Select(port, vcpu);
        }

        if (kick)
        {
            _kick.Kick(vcpu);
        }

        return 0;
    }

    /// <summary>Opens a port for a host backend that is there before the guest runs (console, xenstore).</summary>
    /// <param name="onGuestNotify">Called on a vCPU's thread when the guest notifies; must be quick and not block.</param>
    /// <param name="vcpu">The vCPU the port notifies at first.</param>
    /// <exception cref="InvalidOperationException">All ports are in use.</exception>
    public HostChannel AllocateHostPort(Action onGuestNotify, int vcpu = 0)
    {
        ArgumentNullException.ThrowIfNull(onGuestNotify);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)vcpu, (uint)_vcpus.VcpuCount, nameof(vcpu));
        lock (_gate)
        {
            if (Open(ChannelState.Interdomain, vcpu, 0, HostDomain, onGuestNotify, out uint port) != 0)
            {
                throw new InvalidOperationException("All event channel ports are in use.");
            }

            return _ports[port].Host!;
        }
    }

    /// <summary>Binds a host backend to a port that the guest allocated for the host.</summary>
    /// <param name="port">The guest's port, as read from its xenstore key; any value.</param>
    /// <param name="onNotify">Called on a vCPU's thread when the guest notifies, and once before this returns; must be quick and
    /// not block.</param>
    /// <param name="channel">The host's end.</param>
    /// <returns>0 or −EINVAL (no unbound port that waits for the host).</returns>
    public int BindHost(uint port, Action onNotify, out HostChannel? channel)
    {
        ArgumentNullException.ThrowIfNull(onNotify);
        channel = null;
        if (!IsValid(port))
        {
            return -XenError.EINVAL;
        }

        Port entry = _ports[port];
        lock (entry)
        {
            if (entry.State != ChannelState.Unbound || entry.RemoteDomain != HostDomain)
            {
                return -XenError.EINVAL;
            }

            channel = new HostChannel(this, port, onNotify);
            entry.Host = channel;
            entry.State = ChannelState.Interdomain;
        }

        // A notification sent while the port was unbound was dropped; the backend may be owed one.
        onNotify();
        return 0;
    }

    /// <summary>Closes the host's end: the guest's port becomes unbound, as when a peer domain closes its end.</summary>
    internal void Disconnect(HostChannel channel)
    {
        Port entry = _ports[channel.Port];
        lock (entry)
        {
            channel.MarkClosed();
            if (ReferenceEquals(entry.Host, channel))
            {
                entry.Host = null;
                entry.State = ChannelState.Unbound;
            }
        }
    }

    private static bool IsValid(uint port) => port is > 0 and < PortCount;

    private static ulong Bit(uint port) => 1UL << (int)(port % 64);

    private static int VirqIndex(int vcpu, uint virq) => (vcpu * (int)Virq.Count) + (int)virq;

    private bool Exists(uint vcpu) => vcpu < (uint)_vcpus.VcpuCount;

    private int Open(ChannelState state, int vcpu, uint virq, ushort remoteDomain, Action? onNotify, out uint port)
    {
        for (port = 1; port < PortCount; port++)
        {
            Port entry = _ports[port];
            lock (entry)
            {
                if (entry.State != ChannelState.Closed)
                {
                    continue;
                }

                entry.State = state;
                entry.Vcpu = vcpu;
                entry.Virq = virq;
                entry.RemoteDomain = remoteDomain;
                entry.Host = onNotify is null ? null : new HostChannel(this, port, onNotify);
                return 0;
            }
        }

        port = 0;
        return -XenError.ENOSPC;
    }

    private bool CloseLocked(uint port)
    {
        Port entry = _ports[port];
        lock (entry)
        {
            if (entry.State == ChannelState.Closed)
            {
                return false;
            }

            if (entry.State == ChannelState.Virq)
            {
                int owner = Virq.IsPerVcpu(entry.Virq) ? entry.Vcpu : 0;
                Volatile.Write(ref _virqPorts[VirqIndex(owner, entry.Virq)], 0);
            }

            entry.Host?.MarkClosed();
            entry.Host = null;
            entry.State = ChannelState.Closed;
            entry.Virq = 0;
            entry.RemoteDomain = 0;
            entry.Vcpu = 0;

            // A stale pending bit would swallow the first event of the port's next user.
            Interlocked.And(ref _shared.Value.Pending[(int)(port / 64)], ~Bit(port));
            return true;
        }
    }

    /// <summary>One port; locked while read or changed.</summary>
    private sealed class Port
    {
        public ChannelState State { get; set; }

        public int Vcpu { get; set; }

        public uint Virq { get; set; }

        public ushort RemoteDomain { get; set; }

        public HostChannel? Host { get; set; }
    }
}
