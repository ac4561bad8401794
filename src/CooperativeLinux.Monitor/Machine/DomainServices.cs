using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Time;
using CooperativeLinux.Processor.Memory;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>What the hypercalls of one domain work on.</summary>
internal sealed class DomainServices
{
    public required GuestMemory Memory { get; init; }

    public required DomainLife Life { get; init; }

    public required EventChannels Events { get; init; }

    public required GrantTable Grants { get; init; }

    public required PvClock Clock { get; init; }

    public required VcpuTimers Timers { get; init; }

    /// <summary>All vCPUs the domain can have, by number.</summary>
    public required IReadOnlyList<VcpuContext> Vcpus { get; init; }

    public required ILogger Logger { get; init; }

    /// <summary>Takes console_io output; any thread.</summary>
    public required Action<ReadOnlySpan<byte>> EmergencyConsole { get; init; }

    /// <summary>Starts running a vCPU that the guest brought up.</summary>
    public required Action<VcpuContext> StartVcpu { get; init; }

    public required TlbShootdown Tlb { get; init; }

    public required BalloonAccount Balloon { get; init; }

    /// <summary>The domain's identity, as /sys/hypervisor/uuid shows it.</summary>
    public Guid Uuid { get; init; }

    /// <summary>Identity of the domain to itself and in hypercall arguments.</summary>
    public ushort DomainId { get; init; } = 1;

    /// <summary>Whether a domain argument means the caller.</summary>
    public bool IsSelf(ulong domain)
    {
        const ushort Self = 0x7ff0;
        return (ushort)domain == Self || (ushort)domain == DomainId;
    }
}
