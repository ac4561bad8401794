namespace CooperativeLinux.Processor.Verification;

/// <summary>What is known of a scratch register.</summary>
internal enum ValueKind : byte
{
    /// <summary>Data of the guest's making.</summary>
    Guest,

    /// <summary>rax, while flags are saved or restored.</summary>
    RaxCopy,

    /// <summary>0 … High.</summary>
    Bounded,

    /// <summary>T1: Low, which a stub compares offsets in a page with.</summary>
    WindowBound,

    /// <summary>T1: the guest address of the block.</summary>
    OwnAddress,

    /// <summary>Guest rsp + Low.</summary>
    StackAddress,

    /// <summary>Guest rsp + Low - page of the stack window.</summary>
    StackOffset,

    /// <summary>T1: the low half of T0, as it is now.</summary>
    AddressCopy,

    /// <summary>T1: that, shifted so that the entry's number is in place.</summary>
    AddressShifted,

    /// <summary>T1: byte offset of the TLB entry that the address in T0 selects.</summary>
    EntryOffset,

    /// <summary>T0 or T1: the base register + Offset.</summary>
    BaseAddress,

    /// <summary>T0: the base register + the index register * Scale + Offset.</summary>
    IndexedAddress,

    /// <summary>T1: T0, as it is now.</summary>
    FullCopy,

    /// <summary>T1: T0, or the base register + Offset, less the page address in entry Low of the inline TLB.</summary>
    InlineOffset,

    /// <summary>T1: that, and High bytes from there lie in the page.</summary>
    InlineChecked,

    /// <summary>T0: address - page address in the entry that T1 points to.</summary>
    PageOffset,

    /// <summary>T0: that, and High bytes from there lie in the page.</summary>
    CheckedOffset,

    /// <summary>T0: the address again, and High bytes from there lie in the page of the entry that T1 points to.</summary>
    CheckedAddress,

    // ---- From here on: host addresses and what follows from them. They are never stored, copied or computed with.

    /// <summary>Not known; it may hold a host address.</summary>
    Secret,

    /// <summary>T1: the TLB entry that the address in T0 selects.</summary>
    SelectedEntry,

    /// <summary>T1: the TLB entry whose page address was subtracted from T0.</summary>
    MatchedEntry,

    /// <summary>T1: points to the page address in entry Low of the inline TLB.</summary>
    InlineEntry,

    /// <summary>Guest memory on the host: bytes Low … High-1 from there may be accessed.</summary>
    Pointer,

    /// <summary>Distance from guest to host addresses in the stack window.</summary>
    StackDelta,

    /// <summary>rcx: the negative of the stack window's page.</summary>
    StackNegative,

    /// <summary>T0 or rcx: whole pages between the window and guest rsp + Low.</summary>
    PageDistance,

    /// <summary>rcx: the sum of those of guest rsp + Low and guest rsp + High.</summary>
    PageDistances,

    /// <summary>T1: distance from guest to host addresses for High bytes from the address in T0, as it is now; they are also those from the
    /// base register + Offset.</summary>
    AddressDelta,

    /// <summary>Distance from guest to host addresses for bytes Low … High-1 off the base register.</summary>
    BaseDelta,

    /// <summary>The ids of checked code pages.</summary>
    PageSlots,

    /// <summary>rcx: the id of the block's page, as known now.</summary>
    PageId,

    /// <summary>rcx: zero if that is the id the block was made for.</summary>
    PageIdDifference,

    /// <summary>rcx: zero if a poll is wanted.</summary>
    PollClear,

    /// <summary>rcx: host rsp, shifted so that the number of the pair stack's unit is lowest; then only that number.</summary>
    StackUnits,
    StackUnit,

    /// <summary>T0: the negative number of the unit below the pair stack.</summary>
    DepthTag,

    /// <summary>rcx: zero if the pair stack is full.</summary>
    DepthDifference,

    /// <summary>T0: the table of indirect branches.</summary>
    BranchTable,
}

/// <summary>What is known of a scratch register's value.</summary>
/// <param name="Base">The register that an address was computed from, as its x86 number + 1; 0: none, or it has changed.</param>
/// <param name="Offset">Distance of the address from that register.</param>
/// <param name="Index">The register that was added to it, multiplied by <paramref name="Scale"/>, in the same form.</param>
/// <param name="Scale">1, 2, 4 or 8.</param>
internal readonly record struct Value(
    ValueKind Kind, int Low = 0, int High = 0, bool Write = false, byte Base = 0, int Offset = 0, byte Index = 0, byte Scale = 0)
{
    public static readonly Value Guest = new(ValueKind.Guest);
    public static readonly Value Secret = new(ValueKind.Secret);

    public bool IsHost => Kind >= ValueKind.Secret;

    private bool IsDelta => Kind is ValueKind.BaseDelta or ValueKind.AddressDelta;

    /// <summary>A distance as one off the base register; <see cref="Secret"/> if it is none.</summary>
    public Value OffBase => Kind switch
    {
        ValueKind.BaseDelta => this,
        ValueKind.AddressDelta when Base != 0 => new Value(ValueKind.BaseDelta, Offset, Offset + High, Write, Base),
        _ => Secret,
    };

    /// <summary>What holds of both.</summary>
    public static Value Join(in Value a, in Value b)
    {
        if (a == b)
        {
            return a;
        }

        if (a.Kind == ValueKind.BaseDelta && b.Kind == ValueKind.BaseDelta && a.Base == b.Base)
        {
            return a with { Low = Math.Max(a.Low, b.Low), High = Math.Min(a.High, b.High), Write = a.Write && b.Write };
        }

        if (a.Base != 0 && a.Base == b.Base && a.IsDelta && b.IsDelta && a.Kind != b.Kind)
        {
            return Join(a.OffBase, b.OffBase);
        }

        if (a.Kind == b.Kind)
        {
            switch (a.Kind)
            {
                case ValueKind.AddressDelta:
                    bool same = a.Base == b.Base && a.Offset == b.Offset;
                    return new Value(ValueKind.AddressDelta, 0, Math.Min(a.High, b.High), a.Write && b.Write, same ? a.Base : (byte)0, same ? a.Offset : 0);
                case ValueKind.Bounded:
                    return new Value(ValueKind.Bounded, 0, Math.Max(a.High, b.High));
                case ValueKind.CheckedOffset:
                    return new Value(ValueKind.CheckedOffset, 0, Math.Min(a.High, b.High));
                case ValueKind.Pointer:
                    return new Value(ValueKind.Pointer, Math.Max(a.Low, b.Low), Math.Min(a.High, b.High), a.Write && b.Write);
            }
        }

        return a.IsHost || b.IsHost ? Secret : Guest;
    }
}
