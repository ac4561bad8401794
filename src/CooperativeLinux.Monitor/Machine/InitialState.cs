namespace CooperativeLinux.Monitor.Machine;

/// <summary>Register values of a vCPU at its start (pv-interface 1.5).</summary>
internal static class InitialState
{
    /// <summary>MXCSR after reset.</summary>
    public const uint Mxcsr = 0x1f80;

    /// <summary>rflags: interrupts enabled; events are masked by the upcall mask.</summary>
    public const ulong Rflags = 0x202;
}
