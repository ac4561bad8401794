namespace CooperativeLinux;

/// <summary>The end of a machine.</summary>
/// <param name="End">How it ended.</param>
/// <param name="Reason">For <see cref="MachineEnd.Panic"/> and <see cref="MachineEnd.Crash"/>: what is known, on one line.</param>
public sealed record MachineResult(MachineEnd End, string? Reason = null)
{
    /// <summary>For <see cref="MachineEnd.Crash"/>: the registers of the vCPU, on several lines, or null.</summary>
    public string? Details { get; init; }
}
