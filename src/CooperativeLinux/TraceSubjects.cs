namespace CooperativeLinux;

/// <summary>What a machine tells about its inner life, for finding faults.</summary>
[Flags]
public enum TraceSubjects
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Hypercalls with arguments and results.</summary>
    Hypercalls = 1 << 0,

    /// <summary>Event channels: what is bound, sent and delivered.</summary>
    Events = 1 << 1,

    /// <summary>Exceptions and interrupts delivered to the guest.</summary>
    Traps = 1 << 2,

    /// <summary>Page faults and changes of page tables.</summary>
    Memory = 1 << 3,

    /// <summary>Requests to the xenstore.</summary>
    Store = 1 << 4,

    /// <summary>Requests to devices.</summary>
    Devices = 1 << 5,

    /// <summary>Translation of guest code.</summary>
    Translation = 1 << 6,

    /// <summary>Counts of everything, at the end.</summary>
    Statistics = 1 << 8,

    /// <summary>Time and timers.</summary>
    Timers = 1 << 7,

    /// <summary>Everything.</summary>
    All = Hypercalls | Events | Traps | Memory | Store | Devices | Translation | Timers,
}
