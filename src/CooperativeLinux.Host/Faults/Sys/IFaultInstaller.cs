namespace CooperativeLinux.Host.Faults.Sys;

/// <summary>Puts the fault handler into the host's chain.</summary>
internal interface IFaultInstaller
{
    /// <summary>The handler's machine code; see <see cref="FaultTable"/>.</summary>
    ReadOnlySpan<byte> HandlerCode { get; }

    /// <summary>Fills the host's part of the table and installs its handler. Called once per process.</summary>
    /// <exception cref="HostCallException">The host refuses.</exception>
    void Install(FaultTable table);
}
