namespace CooperativeLinux.Devices.Xenbus;

/// <summary>State of one side of a device, as its `state` node has it.</summary>
public enum XenbusState
{
    /// <summary>No such node.</summary>
    Unknown = 0,
    Initialising = 1,

    /// <summary>Backend: features are written, the frontend may begin.</summary>
    InitWait = 2,

    /// <summary>Frontend: rings and event channels are written.</summary>
    Initialised = 3,
    Connected = 4,
    Closing = 5,
    Closed = 6,
    Reconfiguring = 7,
    Reconfigured = 8,
}
