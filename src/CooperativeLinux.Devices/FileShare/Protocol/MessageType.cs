namespace CooperativeLinux.Devices.FileShare.Protocol;

/// <summary>Types of 9P2000.L requests; the answer to each has the next number. Source: Linux, include/net/9p/9p.h.</summary>
internal enum MessageType : byte
{
    /// <summary>The answer to a request that failed: error[4].</summary>
    ErrorAnswer = 7,
    StatFileSystem = 8,
    Open = 12,
    Create = 14,
    SymbolicLink = 16,
    MakeNode = 18,
    Rename = 20,
    ReadLink = 22,
    GetAttributes = 24,
    SetAttributes = 26,
    WalkExtendedAttribute = 30,
    CreateExtendedAttribute = 32,
    ReadDirectory = 40,
    Sync = 50,
    Lock = 52,
    GetLock = 54,
    Link = 70,
    MakeDirectory = 72,
    RenameAt = 74,
    UnlinkAt = 76,
    Version = 100,
    Authenticate = 102,
    Attach = 104,
    Flush = 108,
    Walk = 110,
    Read = 116,
    Write = 118,
    Clunk = 120,
    Remove = 122,
}
