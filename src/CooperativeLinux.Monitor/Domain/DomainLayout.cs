namespace CooperativeLinux.Monitor.Domain;

/// <summary>A frame that holds a page table.</summary>
/// <param name="Frame">Its number.</param>
/// <param name="Level">4 for the top table to 1 for the tables of 4 KiB pages.</param>
public readonly record struct PageTableFrame(ulong Frame, int Level);

/// <summary>Frames that follow each other.</summary>
/// <param name="First">Number of the first.</param>
/// <param name="Count">How many; may be 0.</param>
public readonly record struct FrameRange(ulong First, ulong Count)
{
    /// <summary>Number of the frame behind the last.</summary>
    public ulong End => First + Count;

    /// <summary>Whether a frame is in the range.</summary>
    public bool Contains(ulong frame) => frame >= First && frame - First < Count;
}

/// <summary>Where everything of a built domain is. Frame numbers are both pseudo-physical and machine frames.</summary>
public sealed record DomainLayout
{
    /// <summary>RAM frames of the domain.</summary>
    public required ulong PageCount { get; init; }

    /// <summary>Virtual address of the first instruction (rip).</summary>
    public required ulong EntryPoint { get; init; }

    /// <summary>Virtual address of the end of the boot stack (rsp).</summary>
    public required ulong StackPointer { get; init; }

    /// <summary>Virtual address of start_info (rsi).</summary>
    public required ulong StartInfoAddress { get; init; }

    /// <summary>Virtual address of frame 0 in the initial mapping.</summary>
    public required ulong VirtualBase { get; init; }

    /// <summary>Frames 0 up to here are mapped from <see cref="VirtualBase"/> on.</summary>
    public required ulong MappedFrames { get; init; }

    /// <summary>Frame of the top page table (CR3); it is pinned.</summary>
    public required ulong TopTableFrame { get; init; }

    /// <summary>Virtual address of the top page table (pt_base).</summary>
    public required ulong PageTableBase { get; init; }

    /// <summary>Tables of the initial mapping (nr_pt_frames), without those that only map the p2m list.</summary>
    public required ulong PageTableCount { get; init; }

    /// <summary>All page tables: those of the initial mapping, top table first, then those of the p2m list.</summary>
    public required IReadOnlyList<PageTableFrame> PageTables { get; init; }

    /// <summary>The kernel.</summary>
    public required FrameRange Kernel { get; init; }

    /// <summary>The start_info page.</summary>
    public required ulong StartInfoFrame { get; init; }

    /// <summary>The xenstore ring.</summary>
    public required ulong StoreRingFrame { get; init; }

    /// <summary>The console ring.</summary>
    public required ulong ConsoleRingFrame { get; init; }

    /// <summary>Machine frame of shared_info.</summary>
    public required ulong SharedInfoFrame { get; init; }

    /// <summary>The boot stack page.</summary>
    public required ulong BootStackFrame { get; init; }

    /// <summary>The initial RAM disk; no frames if there is none.</summary>
    public required FrameRange InitialRamDisk { get; init; }

    /// <summary>Bytes of the initial RAM disk.</summary>
    public required ulong InitialRamDiskLength { get; init; }

    /// <summary>The p2m list.</summary>
    public required FrameRange P2M { get; init; }

    /// <summary>Virtual address of the p2m list (mfn_list).</summary>
    public required ulong P2MAddress { get; init; }

    /// <summary>First frame of the p2m list and its tables (first_p2m_pfn); 0 if the list is in the initial mapping.</summary>
    public required ulong FirstP2MFrame { get; init; }

    /// <summary>Frames of the p2m list and its tables (nr_p2m_frames); 0 if the list is in the initial mapping.</summary>
    public required ulong P2MFrameCount { get; init; }

    /// <summary>The page the hypercall stubs were written to, if the kernel has one.</summary>
    public required ulong? HypercallPageFrame { get; init; }

    /// <summary>Frames used from 0 on; the rest is free for the guest.</summary>
    public required ulong UsedFrames { get; init; }
}
