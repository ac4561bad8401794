namespace CooperativeLinux.Processor.Cache;

/// <summary>How a block reaches memory.</summary>
internal enum BlockVariant : byte
{
    /// <summary>Stack accesses through the stack window, others through the TLB.</summary>
    Normal,

    /// <summary>All accesses through the TLB: the stack operands of the block do not lie in one page.</summary>
    NoStackWindow,

    /// <summary>One instruction, every access resolved in managed code and bounced where it crosses pages.</summary>
    Careful,
}

/// <summary>What identifies a block: where its bytes are, where the guest sees them, and for which mode it was made.</summary>
internal readonly record struct BlockKey(ulong Physical, ulong Virtual, bool User, BlockVariant Variant);

/// <summary>A place in a block where the host may fault.</summary>
/// <param name="HostOffset">First host byte of the guest instruction's code.</param>
/// <param name="GuestOffset">The instruction's distance from the block's start.</param>
/// <param name="FlagsParked">The guest's flags are in memory there.</param>
/// <param name="ParkedRegister">Guest register whose value is in Park1, or 255.</param>
internal readonly record struct FaultPoint(int HostOffset, ushort GuestOffset, bool FlagsParked, byte ParkedRegister);

/// <summary>A translation block.</summary>
internal sealed class Block
{
    public required BlockKey Key { get; init; }

    /// <summary>Guest bytes covered, from the start; in the second page if they cross.</summary>
    public int GuestLength { get; set; }

    /// <summary>Second physical page of a crossing instruction, 0 if none.</summary>
    public ulong SecondFrame { get; set; }

    /// <summary>Further bytes of the first page that the block's code depends on.</summary>
    public (int Offset, int Length)[]? Lookahead { get; set; }

    /// <summary>Entry that checks the page's mapping first; equals <see cref="Entry"/> in kernel mode.</summary>
    public int CheckedEntry { get; set; }

    public int Entry { get; set; }

    /// <summary>First host byte.</summary>
    public int HostStart { get; set; }

    /// <summary>Entry for the branch table: checks whether the branch wants this block.</summary>
    public int IndirectEntry { get; set; }

    public int HostEnd { get; set; }

    public int FirstFaultPoint { get; set; }

    public int FaultPointCount { get; set; }

    /// <summary>Offsets of the compares where guest returns land.</summary>
    public List<int>? Landings { get; set; }

    /// <summary>Exits of this block, as a range of exit numbers.</summary>
    public int FirstExit { get; set; }

    public int ExitCount { get; set; }

    /// <summary>Access sites and instructions of this block, likewise.</summary>
    public int FirstSite { get; set; }

    public int SiteCount { get; set; }

    public int FirstInstruction { get; set; }

    public int InstructionCount { get; set; }

    /// <summary>What is to be changed to make the block for another guest address; null where that cannot be done.</summary>
    public Fixup[]? Fixups { get; set; }

    /// <summary>Head of the list of exits that jump here, -1 if none.</summary>
    public int Incoming { get; set; } = -1;

    public bool Dropped { get; set; }

    /// <summary>Behind the head's checks, for managed code that has made them.</summary>
    public int Body { get; set; }

    /// <summary>Entries of the inline TLB that belong to the block.</summary>
    public List<int>? InlineEntries { get; set; }

    /// <summary>How often the block was found running, in a period of sampling.</summary>
    public int Samples { get; set; }

    public long SamplePeriod { get; set; }

    public ulong Frame => Key.Physical >> 12;
}

/// <summary>A direct branch out of a block. There are many: 32 bytes.</summary>
internal struct BlockExit
{
    private const int VariantBits = 2;

    private ushort _patch;
    private ushort _cold;
    private int _next;

    /// <summary>The block; its <see cref="Block.HostStart"/> must be known.</summary>
    public Block Owner;

    /// <summary>Guest target.</summary>
    public ulong Target;

    /// <summary>Block this exit is linked to.</summary>
    public Block? LinkedTo;

    /// <summary>The next exit linked to the same block, -1 if none.</summary>
    public int NextIncoming
    {
        readonly get => (_next >> VariantBits) - 1;
        set => _next = ((value + 1) << VariantBits) | (int)Variant;
    }

    /// <summary>NoStackWindow: only such a block will do.</summary>
    public BlockVariant Variant
    {
        readonly get => (BlockVariant)(_next & ((1 << VariantBits) - 1));
        set => _next = ((NextIncoming + 1) << VariantBits) | (int)value;
    }

    /// <summary>Offset of the rel32 to patch.</summary>
    public int Patch
    {
        readonly get => Owner.HostStart + _patch;
        set => _patch = checked((ushort)(value - Owner.HostStart));
    }

    /// <summary>Offset of the out-of-line code that asks for a link.</summary>
    public int Cold
    {
        readonly get => Owner.HostStart + _cold;
        set => _cold = checked((ushort)(value - Owner.HostStart));
    }
}

/// <summary>A memory access that may call managed code. There are many: 24 bytes.</summary>
internal struct AccessSite
{
    private ushort _size;
    private SiteTraits _traits;

    public Block Owner;

    public ulong Rip;

    /// <summary>Bank of TLB arrays that the site looks into.</summary>
    public byte Bank;

    /// <summary>Entry of the inline TLB that belongs to the site, or -1.</summary>
    public short Entry;

    public int Size
    {
        readonly get => _size;
        set => _size = checked((ushort)value);
    }

    public bool Write
    {
        readonly get => Has(SiteTraits.Write);
        set => Set(SiteTraits.Write, value);
    }

    public bool FlagsParked
    {
        readonly get => Has(SiteTraits.FlagsParked);
        set => Set(SiteTraits.FlagsParked, value);
    }

    /// <summary>Stack windows: distance of the window's lowest byte from the address in T0 is 0; size is its length.</summary>
    public bool Stack
    {
        readonly get => Has(SiteTraits.Stack);
        set => Set(SiteTraits.Stack, value);
    }

    /// <summary>Behind the jump back stands the same operation on a bounced copy; it is used for operands that cross pages.</summary>
    public bool CanBounce
    {
        readonly get => Has(SiteTraits.CanBounce);
        set => Set(SiteTraits.CanBounce, value);
    }

    /// <summary>The site is of several accesses. Where they cannot be made together, execution goes on behind the jump back.</summary>
    public bool IsGroup
    {
        readonly get => Has(SiteTraits.IsGroup);
        set => Set(SiteTraits.IsGroup, value);
    }

    /// <summary>A non-canonical address is a stack fault: the base is rsp or rbp.</summary>
    public bool StackSegment
    {
        readonly get => Has(SiteTraits.StackSegment);
        set => Set(SiteTraits.StackSegment, value);
    }

    private readonly bool Has(SiteTraits trait) => (_traits & trait) != 0;

    private void Set(SiteTraits trait, bool isSet) => _traits = isSet ? _traits | trait : _traits & ~trait;

    [Flags]
    private enum SiteTraits : byte
    {
        None = 0,
        Write = 1,
        FlagsParked = 2,
        Stack = 4,
        CanBounce = 8,
        IsGroup = 16,
        StackSegment = 32,
    }
}
