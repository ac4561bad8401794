namespace CooperativeLinux.Monitor.Machine;

/// <summary>How a domain ended.</summary>
public enum DomainOutcomeKind
{
    /// <summary>The guest powered off or halted.</summary>
    PowerOff,

    /// <summary>The guest wants to be started again.</summary>
    Reboot,

    /// <summary>The guest asked to be suspended and waits in that hypercall.</summary>
    Suspend,

    /// <summary>The guest panicked, or did what no kernel survives.</summary>
    Crash,

    /// <summary>A watchdog the guest had set was not served in time.</summary>
    Watchdog,

    /// <summary>The owner ended the domain.</summary>
    Stopped,
}

/// <summary>The end of a domain and what is known about its cause.</summary>
/// <param name="Kind">How it ended.</param>
/// <param name="Reason">One line: the guest's panic message, or what went wrong. Empty at an orderly end.</param>
/// <param name="Registers">The vCPU that ended the domain, where that helps.</param>
public sealed record DomainOutcome(DomainOutcomeKind Kind, string Reason, RegisterSnapshot? Registers = null)
{
    /// <summary>The last lines the guest wrote to its console, oldest first; filled in for a crash.</summary>
    public IReadOnlyList<string> LastConsoleLines { get; init; } = [];

    /// <summary>The line of a kernel panic seen on the console, if there was one; it may precede any kind of outcome.</summary>
    public string? Panic { get; init; }

    internal static DomainOutcome Crashed(string reason, RegisterSnapshot? registers) => new(DomainOutcomeKind.Crash, reason, registers);
}
