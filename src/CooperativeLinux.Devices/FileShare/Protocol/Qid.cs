namespace CooperativeLinux.Devices.FileShare.Protocol;

/// <summary>What identifies a file to the guest: type[1] version[4] path[8].</summary>
internal readonly record struct Qid(byte Type, uint Version, ulong Path)
{
    /// <summary>Bytes in a message.</summary>
    public const int Size = 13;

    /// <summary>QTDIR, QTSYMLINK and QTFILE.</summary>
    public const byte Directory = 0x80, SymbolicLink = 0x02, File = 0;
}
