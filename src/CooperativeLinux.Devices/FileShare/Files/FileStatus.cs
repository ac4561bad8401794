namespace CooperativeLinux.Devices.FileShare.Files;

/// <summary>What a file says of itself, in Linux terms.</summary>
internal struct FileStatus
{
    /// <summary>Mask of the type in <see cref="Mode"/>, and the types (S_IFMT, S_IF*).</summary>
    public const uint TypeMask = 0xF000, Fifo = 0x1000, CharacterDevice = 0x2000, Directory = 0x4000, BlockDevice = 0x6000,
        Regular = 0x8000, SymbolicLink = 0xA000, Socket = 0xC000;

    /// <summary>Permission bits with set-user-id, set-group-id and sticky.</summary>
    public const uint PermissionMask = 0xFFF;

    /// <summary>S_ISUID and S_ISGID.</summary>
    public const uint SetUserId = 0x800, SetGroupId = 0x400;

    /// <summary>Type and permissions.</summary>
    public uint Mode;

    public uint User;

    public uint Group;

    /// <summary>Names the file has.</summary>
    public ulong Links;

    /// <summary>For devices, as makedev encodes it.</summary>
    public ulong DeviceNumber;

    /// <summary>Bytes.</summary>
    public ulong Size;

    /// <summary>Bytes that are good to read at once.</summary>
    public ulong BlockSize;

    /// <summary>Room taken, in units of 512 bytes.</summary>
    public ulong Blocks;

    public FileTime Accessed;

    public FileTime Modified;

    public FileTime Changed;

    /// <summary>File system the file is on, and its number there: together its identity.</summary>
    public ulong Device;

    public ulong Inode;

    /// <summary>One of the types.</summary>
    public readonly uint Type => Mode & TypeMask;

    public readonly bool IsDirectory => Type == Directory;

    public readonly bool IsRegular => Type == Regular;
}

/// <summary>A time: seconds since 1970 and nanoseconds.</summary>
internal readonly record struct FileTime(long Seconds, uint Nanoseconds);

/// <summary>What is to change about a file; null means to leave it.</summary>
internal readonly record struct FileTimes(FileTime? Accessed, bool IsAccessedNow, FileTime? Modified, bool IsModifiedNow);

/// <summary>Figures of a file system, in blocks of <see cref="BlockSize"/> bytes.</summary>
internal readonly record struct FileSystemStatus(uint BlockSize, ulong Blocks, ulong Free, ulong Available, ulong Files, ulong FreeFiles, uint NameLength);

/// <summary>How a file is opened.</summary>
[Flags]
internal enum FileOpenMode
{
    /// <summary>For reading only.</summary>
    None = 0,
    Write = 1,
    ReadWrite = 2,
    Truncate = 4,
    Append = 8,

    /// <summary>Each write reaches the disk before it is answered: data, or data and attributes.</summary>
    DataSync = 16,
    Sync = 32,
    Directory = 64,
}
