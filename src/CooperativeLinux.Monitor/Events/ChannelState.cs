namespace CooperativeLinux.Monitor.Events;

/// <summary>State of an event channel port, with the numbers EVTCHNOP_status reports.</summary>
public enum ChannelState
{
    Closed = 0,
    Unbound = 1,
    Interdomain = 2,

    /// <summary>Physical interrupt; never occurs here.</summary>
    Pirq = 3,
    Virq = 4,
    Ipi = 5,
}

/// <summary>What EVTCHNOP_status reports.</summary>
/// <param name="State">State.</param>
/// <param name="Vcpu">The vCPU the port notifies.</param>
/// <param name="Virq">Number of the virtual interrupt, for <see cref="ChannelState.Virq"/>.</param>
/// <param name="RemoteDomain">Peer, for unbound and interdomain ports.</param>
/// <param name="RemotePort">The peer's port, for interdomain ports.</param>
public readonly record struct ChannelStatus(ChannelState State, int Vcpu, uint Virq, ushort RemoteDomain, uint RemotePort);

/// <summary>Virtual interrupts.</summary>
public static class Virq
{
    /// <summary>Timer, per vCPU.</summary>
    public const uint Timer = 0;

    /// <summary>Debug request, per vCPU.</summary>
    public const uint Debug = 1;

    /// <summary>Numbers in use are below this.</summary>
    public const uint Count = 24;

    private const uint XenoProfile = 7, PerformanceMonitor = 13;

    /// <summary>Whether each vCPU has its own; the others exist once and are bound on vCPU 0.</summary>
    public static bool IsPerVcpu(uint virq) => virq is Timer or Debug or XenoProfile or PerformanceMonitor;
}
