namespace CooperativeLinux.Monitor.Traps;

/// <summary>An 8-byte GDT or LDT entry as the processor reads it.</summary>
internal readonly record struct SegmentDescriptor(ulong Raw)
{
    private const ulong PresentBit = 1UL << 47, ApplicationBit = 1UL << 44, CodeBit = 1UL << 43, ReadWriteBit = 1UL << 41,
        LongBit = 1UL << 53, GranularityBit = 1UL << 55;

    /// <summary>What `lar` shows: access byte and flags of the upper half.</summary>
    private const uint AccessRightsMask = 0x00f0_ff00;

    public bool IsPresent => (Raw & PresentBit) != 0;

    /// <summary>Code or data, and no system segment or gate.</summary>
    public bool IsApplication => (Raw & ApplicationBit) != 0;

    public bool IsCode => IsApplication && (Raw & CodeBit) != 0;

    public bool IsData => IsApplication && (Raw & CodeBit) == 0;

    /// <summary>64-bit code.</summary>
    public bool IsLong => (Raw & LongBit) != 0;

    public bool IsReadable => IsApplication && ((Raw & CodeBit) == 0 || (Raw & ReadWriteBit) != 0);

    public bool IsWritable => IsData && (Raw & ReadWriteBit) != 0;

    public uint Base => (uint)(((Raw >> 16) & 0xff_ffff) | ((Raw >> 32) & 0xff00_0000));

    /// <summary>Last valid offset in bytes.</summary>
    public uint Limit
    {
        get
        {
            uint limit = (uint)((Raw & 0xffff) | ((Raw >> 32) & 0xf_0000));
            return (Raw & GranularityBit) != 0 ? (limit << 12) | 0xfff : limit;
        }
    }

    public uint AccessRights => (uint)(Raw >> 32) & AccessRightsMask;
}
