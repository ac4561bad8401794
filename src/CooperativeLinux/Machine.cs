namespace CooperativeLinux;

/// <summary>A guest: a stock kernel running inside this process.</summary>
public static class Machine
{
    /// <summary>Runs a machine from start to end.</summary>
    /// <exception cref="MachineStartException">It could not be started.</exception>
    public static Task<MachineResult> RunAsync(MachineOptions options, CancellationToken cancellationToken)
    {
        // The monitor is not connected to this library yet.
        ArgumentNullException.ThrowIfNull(options);
        cancellationToken.ThrowIfCancellationRequested();
        throw new MachineStartException(MachineStartFailure.Host, "this build has no monitor and cannot start a machine");
    }
}
