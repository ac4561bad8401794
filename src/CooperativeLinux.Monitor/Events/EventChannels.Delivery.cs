using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Events;

/// <summary>Raising events and telling vCPUs about them.</summary>
public sealed partial class EventChannels
{
    /// <summary>Most ports one poll may name.</summary>
    public const int MaxPollPorts = 128;

    private readonly uint[]?[] _pollSets;

    // Bit i: vCPU i polls, so that the common case costs one read.
    private ulong _pollingVcpus;

    /// <summary>Raises an event on an open port; without effect on a closed or impossible one.</summary>
    public void Raise(uint port)
    {
        if (IsValid(port))
        {
            RaiseIf(port, default);
        }
    }

    /// <summary>Raises a virtual interrupt; without effect if the guest has not bound it.</summary>
    /// <param name="vcpu">Whose; ignored for global interrupts.</param>
    /// <param name="virq">A number of <see cref="Virq"/>.</param>
    public void RaiseVirq(int vcpu, uint virq)
    {
        if (virq >= Virq.Count || !_vcpus.Exists(vcpu))
        {
            return;
        }

        uint port = Volatile.Read(ref _virqPorts[VirqIndex(Virq.IsPerVcpu(virq) ? vcpu : 0, virq)]);
        if (port != 0)
        {
            RaiseIf(port, new Expectation(ChannelState.Virq, virq));
        }
    }

    /// <summary>Whether the vCPU must be given an event upcall now.</summary>
    public bool HasPendingUpcall(int vcpu)
    {
        if (!_vcpus.TryGet(vcpu, out GuestReference<VcpuInfo> reference))
        {
            return false;
        }

        ref VcpuInfo info = ref reference.Value;
        return Volatile.Read(ref info.UpcallPending) != 0 && Volatile.Read(ref info.UpcallMask) == 0;
    }

    /// <summary>Whether the port's pending bit is set, masked or not.</summary>
    public bool IsPending(uint port) =>
        port < PortCount && (Volatile.Read(ref _shared.Value.Pending[(int)(port / 64)]) & Bit(port)) != 0;

    /// <summary>Whether the guest masks the port.</summary>
    public bool IsMasked(uint port) =>
        port < PortCount && (Volatile.Read(ref _shared.Value.Mask[(int)(port / 64)]) & Bit(port)) != 0;

    /// <summary>SCHEDOP_block: unmasks upcalls of the vCPU, before it looks for events and sleeps.</summary>
    public void UnmaskUpcalls(int vcpu)
    {
        if (_vcpus.TryGet(vcpu, out GuestReference<VcpuInfo> reference))
        {
            // A full barrier: the look at upcall_pending that follows must not come first.
            Interlocked.Exchange(ref reference.Value.UpcallMask, (byte)0);
        }
    }

    /// <summary>SCHEDOP_poll: from now on the vCPU is kicked when one of the ports is raised, masked or not.
    /// Sleep only while <see cref="IsPollDone"/> is false; end with <see cref="EndPoll"/>.</summary>
    /// <returns>0, −EINVAL (an impossible port, or more than <see cref="MaxPollPorts"/>), −ENOENT (no such vCPU).</returns>
    public int BeginPoll(int vcpu, ReadOnlySpan<uint> ports)
    {
        if (!_vcpus.Exists(vcpu))
        {
            return -XenError.ENOENT;
        }

        if (ports.Length > MaxPollPorts)
        {
            return -XenError.EINVAL;
        }

        foreach (uint port in ports)
        {
            if (!IsValid(port))
            {
                return -XenError.EINVAL;
            }
        }

        Volatile.Write(ref _pollSets[vcpu], ports.ToArray());

        // A full barrier: a raise that does not see the bit has set its pending bit before we look at it.
        Interlocked.Or(ref _pollingVcpus, 1UL << vcpu);
        return 0;
    }

    /// <summary>Whether a poll has something to return for: a named port pending, or an upcall due.</summary>
    public bool IsPollDone(int vcpu)
    {
        foreach (uint port in Volatile.Read(ref _pollSets[vcpu]) ?? [])
        {
            if (IsPending(port))
            {
                return true;
            }
        }

        return HasPendingUpcall(vcpu);
    }

    /// <summary>Ends a poll.</summary>
    public void EndPoll(int vcpu)
    {
        if (_vcpus.Exists(vcpu))
        {
            Interlocked.And(ref _pollingVcpus, ~(1UL << vcpu));
            Volatile.Write(ref _pollSets[vcpu], null);
        }
    }

    internal void RaiseFrom(HostChannel channel) =>
        RaiseIf(channel.Port, new Expectation(ChannelState.Interdomain, Sender: channel));

    /// <summary>Sets pending; unless it was set already or is masked, also the selector and upcall_pending of the vCPU.</summary>
    private void RaiseIf(uint port, Expectation expected)
    {
        Port entry = _ports[port];
        bool kick;
        int vcpu;
        lock (entry)
        {
            if (!expected.IsMet(entry))
            {
                return;
            }

            ulong old = Interlocked.Or(ref _shared.Value.Pending[(int)(port / 64)], Bit(port));
            if ((old & Bit(port)) != 0)
            {
                return;
            }

            vcpu = entry.Vcpu;
            kick = !IsMasked(port) && Select(port, vcpu);
        }

        if (kick)
        {
            _kick.Kick(vcpu);
        }

        ulong polling = Volatile.Read(ref _pollingVcpus);
        if (polling != 0)
        {
            WakePollers(port, polling);
        }
    }

    /// <summary>Sets selector and upcall_pending. Returns whether a kick is due.</summary>
    private bool Select(uint port, int vcpu)
    {
        if (!_vcpus.TryGet(vcpu, out GuestReference<VcpuInfo> reference))
        {
            // No vcpu_info yet: registering one makes the guest scan everything.
            return false;
        }

        ref VcpuInfo info = ref reference.Value;
        ulong selector = 1UL << (int)(port / 64);
        bool isNew = (Interlocked.Or(ref info.PendingSelector, selector) & selector) == 0;
        return (Interlocked.Exchange(ref info.UpcallPending, (byte)1) == 0) | isNew;
    }

    private void WakePollers(uint port, ulong polling)
    {
        for (int vcpu = 0; vcpu < _pollSets.Length; vcpu++)
        {
            if ((polling & (1UL << vcpu)) != 0 && Volatile.Read(ref _pollSets[vcpu]) is { } ports && ports.AsSpan().Contains(port))
            {
                _kick.Kick(vcpu);
            }
        }
    }

    /// <summary>What a port must be for a raise to be meant for it. Default: anything but closed.</summary>
    private readonly record struct Expectation(ChannelState State, uint Virq = 0, HostChannel? Sender = null)
    {
        public bool IsMet(Port port) =>
            State == ChannelState.Closed
                ? port.State != ChannelState.Closed
                : port.State == State && port.Virq == Virq && (Sender is null || ReferenceEquals(port.Host, Sender));
    }
}
