using CooperativeLinux.Monitor.Time;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>What a domain is made of.</summary>
public sealed record PvDomainOptions
{
    /// <summary>Bytes of RAM, a multiple of 4096.</summary>
    public required ulong MemorySize { get; init; }

    /// <summary>vCPUs, 1 to 64.</summary>
    public int VcpuCount { get; init; } = 1;

    /// <summary>The time stamp counter that guest code reads.</summary>
    public required ITimestampCounter Counter { get; init; }

    /// <summary>Time of day for the guest's wall clock; null: the host's.</summary>
    public TimeProvider? WallClock { get; init; }

    /// <summary>The domain's identity, shown to the guest.</summary>
    public Guid Uuid { get; init; } = Guid.NewGuid();

    /// <summary>Takes what the guest writes to its emergency console (console_io), in pieces of any size, on vCPU
    /// threads.</summary>
    public Action<ReadOnlySpan<byte>>? EmergencyConsole { get; init; }

    /// <summary>Takes one line for each hypercall; null: no trace.</summary>
    public Action<string>? HypercallTrace { get; init; }

    /// <summary>Options of each vCPU's processor.</summary>
    public ProcessorOptions Processor { get; init; } = new();
}
