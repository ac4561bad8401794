namespace CooperativeLinux.Processor.Cache;

/// <summary>What of a block's host code depends on where the block or the guest's code lies.</summary>
internal enum FixupKind : byte
{
    /// <summary>32-bit displacement to the data region or a stub.</summary>
    Outside,

    /// <summary>64-bit guest address in the block's mapping.</summary>
    Address,

    /// <summary>32-bit displacement of the slot of the block's page.</summary>
    PageSlot,

    /// <summary>32-bit id of the block's page.</summary>
    PageId,

    /// <summary>The negative of that.</summary>
    NegatedPageId,

    /// <summary>32-bit number of an exit, an access site or an instruction.</summary>
    Exit,
    Site,
    Instruction,
}

/// <summary>A place in a block's host code that changes when the block is made for another guest address.</summary>
/// <param name="Offset">Distance from the block's first host byte.</param>
/// <param name="Kind">What is there.</param>
internal readonly record struct Fixup(ushort Offset, FixupKind Kind);
