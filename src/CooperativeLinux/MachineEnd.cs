namespace CooperativeLinux;

/// <summary>How a machine ended.</summary>
public enum MachineEnd
{
    /// <summary>The guest switched itself off.</summary>
    PowerOff,

    /// <summary>The guest asked for a restart.</summary>
    Reboot,

    /// <summary>The guest's kernel reported that it cannot go on (a panic).</summary>
    Panic,

    /// <summary>The guest did something that no processor could go on from, and could not say so itself.</summary>
    Crash,
}
