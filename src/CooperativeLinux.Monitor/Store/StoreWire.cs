namespace CooperativeLinux.Monitor.Store;

/// <summary>Types of xenstore messages.</summary>
public enum StoreMessageType : uint
{
    Control = 0,
    Directory = 1,
    Read = 2,
    GetPermissions = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Introduce = 8,
    Release = 9,
    GetDomainPath = 10,
    Write = 11,
    MakeDirectory = 12,
    Remove = 13,
    SetPermissions = 14,
    WatchEvent = 15,
    Error = 16,
    IsDomainIntroduced = 17,
    Resume = 18,
    SetTarget = 19,
    ResetWatches = 21,
    DirectoryPart = 22,
}

/// <summary>Errors of the store; their names are what goes over the wire.</summary>
public enum StoreError
{
    None,
    EINVAL,
    EACCES,
    EEXIST,
    ENOENT,
    ENOSPC,
    ENOSYS,
    EAGAIN,
    E2BIG,
    EPERM,
    EBUSY,
}

/// <summary>Sizes of the wire protocol and of the ring page.</summary>
internal static class StoreWire
{
    /// <summary>Bytes of a message header: u32 type, request id, transaction id, payload length.</summary>
    public const int HeaderSize = 16;

    /// <summary>Most payload bytes.</summary>
    public const int MaxPayload = 4096;

    /// <summary>Bytes in each direction's ring.</summary>
    public const int RingSize = 1024;

    public const int RequestRing = 0, ResponseRing = 1024;

    public const int RequestConsumer = 2048, RequestProducer = 2052, ResponseConsumer = 2056, ResponseProducer = 2060,
        ServerFeatures = 2064, Connection = 2068, Error = 2072;

    /// <summary>Values of the error word.</summary>
    public const uint ErrorNone = 0, ErrorRingIndex = 2, ErrorProtocol = 3;
}

/// <summary>What one connection, and all guests' nodes together, may use.</summary>
public sealed record StoreLimits
{
    /// <summary>Nodes owned by guests.</summary>
    public int Nodes { get; init; } = 1000;

    /// <summary>Bytes of a value that a guest writes.</summary>
    public int ValueSize { get; init; } = 2048;

    /// <summary>Watches of a connection.</summary>
    public int Watches { get; init; } = 128;

    /// <summary>Open transactions of a connection.</summary>
    public int Transactions { get; init; } = 10;

    /// <summary>Nodes one transaction may touch.</summary>
    public int TransactionNodes { get; init; } = 1024;

    /// <summary>Permission entries of a node.</summary>
    public int Permissions { get; init; } = 5;

    /// <summary>Watch events waiting for a guest that does not read; further ones are lost.</summary>
    public int PendingEvents { get; init; } = 1024;
}
