using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Domain;

/// <summary>
/// The arithmetic of a domain's layout: which frame holds what, in the order the PV kernels expect. Touches no memory.
/// </summary>
internal sealed class DomainPlan
{
    /// <summary>Bytes in a page.</summary>
    public const ulong PageSize = GuestMemory.PageSize;

    private const ulong EndOfLowerHalf = 0x0000_8000_0000_0000;
    private const ulong EndOfHypervisorHole = 0xffff_8800_0000_0000;

    // The mapping ends at such a boundary, and the kernel finds at least this much free room before it.
    private const ulong MappingAlignment = 4 << 20;
    private const ulong MinimumSlack = 512 << 10;

    private ulong _next;

    private DomainPlan(KernelImage kernel, ulong pageCount, ulong ramDiskLength)
    {
        XenNotes notes = kernel.Notes;
        VirtualBase = notes.VirtualBase;
        PageCount = pageCount;
        ulong listSize = PagesOf(pageCount * sizeof(ulong)) * PageSize;
        bool isListApart = IsListApart(notes, listSize);

        Kernel = new FrameRange(
            kernel.PhysicalStart / PageSize, PagesOf(kernel.PhysicalEnd) - (kernel.PhysicalStart / PageSize));
        _next = Kernel.End;
        if (!notes.ModuleStartIsFrame)
        {
            RamDisk = Take(PagesOf(ramDiskLength));
        }

        if (!isListApart)
        {
            P2M = Take(listSize / PageSize);
            P2MAddress = AddressOf(P2M.First);
        }

        StartInfo = Take(1).First;
        StoreRing = Take(1).First;
        ConsoleRing = Take(1).First;
        PlaceMapping();
        if (notes.ModuleStartIsFrame)
        {
            RamDisk = Take(PagesOf(ramDiskLength));
        }

        if (isListApart)
        {
            PlaceList(notes.InitialP2M!.Value, listSize);
        }

        UsedFrames = _next;
    }

    /// <summary>RAM frames.</summary>
    public ulong PageCount { get; }

    /// <summary>Virtual address of frame 0.</summary>
    public ulong VirtualBase { get; }

    /// <summary>The kernel.</summary>
    public FrameRange Kernel { get; }

    /// <summary>The initial RAM disk.</summary>
    public FrameRange RamDisk { get; }

    /// <summary>The start_info page.</summary>
    public ulong StartInfo { get; }

    /// <summary>The xenstore ring.</summary>
    public ulong StoreRing { get; }

    /// <summary>The console ring.</summary>
    public ulong ConsoleRing { get; }

    /// <summary>The boot stack.</summary>
    public ulong BootStack { get; private set; }

    /// <summary>Frames mapped from <see cref="VirtualBase"/> on.</summary>
    public ulong MappedFrames { get; private set; }

    /// <summary>The page tables.</summary>
    public PageTablePlan Tables { get; } = new();

    /// <summary>How many of them, from the first on, belong to the initial mapping.</summary>
    public int InitialTableCount { get; private set; }

    /// <summary>The p2m list.</summary>
    public FrameRange P2M { get; private set; }

    /// <summary>Its virtual address.</summary>
    public ulong P2MAddress { get; private set; }

    /// <summary>The p2m list and its tables where it has an address of its own, else nothing.</summary>
    public FrameRange P2MWithTables { get; private set; }

    /// <summary>Frames used from 0 on. They may be more than there are.</summary>
    public ulong UsedFrames { get; }

    /// <summary>Makes a plan; whether it fits into memory is for the caller to see.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="pageCount">RAM frames.</param>
    /// <param name="ramDiskLength">Bytes of the initial RAM disk.</param>
    /// <exception cref="DomainBuildException">The kernel's virtual addresses do not allow one.</exception>
    public static DomainPlan Make(KernelImage kernel, ulong pageCount, ulong ramDiskLength) =>
        new(kernel, pageCount, ramDiskLength);

    /// <summary>The least memory, in bytes, that holds a kernel and a RAM disk with all that belongs to them.</summary>
    public static ulong LeastMemory(KernelImage kernel, ulong ramDiskLength)
    {
        // The list grows with the memory it describes, 512 times slower: this ends after a few rounds.
        ulong pageCount = 1;
        while (true)
        {
            ulong used = Make(kernel, pageCount, ramDiskLength).UsedFrames;
            if (used <= pageCount)
            {
                return pageCount * PageSize;
            }

            pageCount = used;
        }
    }

    /// <summary>Virtual address of a frame in the initial mapping.</summary>
    public ulong AddressOf(ulong frame) => unchecked(VirtualBase + (frame * PageSize));

    /// <summary>Pages that hold a number of bytes.</summary>
    public static ulong PagesOf(ulong bytes) => (bytes / PageSize) + (bytes % PageSize == 0 ? 0u : 1u);

    // Bytes of usable virtual addresses from one on: up to the end of its half.
    private static ulong RoomAt(ulong address) => address switch
    {
        < EndOfLowerHalf => EndOfLowerHalf - address,
        >= EndOfHypervisorHole => 0 - address,
        _ => 0,
    };

    // A list that cannot have the wished address, or has it above the kernel, goes into the initial mapping.
    private static bool IsListApart(XenNotes notes, ulong listSize) =>
        notes.InitialP2M is ulong address
        && address % PageSize == 0
        && address < notes.VirtualBase
        && listSize <= notes.VirtualBase - address
        && listSize <= RoomAt(address);

    private FrameRange Take(ulong count)
    {
        FrameRange range = new(_next, count);
        _next += count;
        return range;
    }

    private void PlaceMapping()
    {
        // The tables map themselves, so their number depends on itself.
        ulong tables = 0;
        while (true)
        {
            ulong end = ((_next + tables + 1) * PageSize) + MinimumSlack;
            end += (0 - (VirtualBase + end)) & (MappingAlignment - 1);
            if (end > RoomAt(VirtualBase))
            {
                throw new DomainBuildException(
                    $"the kernel and what belongs to it do not fit at its virtual base 0x{VirtualBase:x}");
            }

            ulong needed = PageTablePlan.Count(VirtualBase, end);
            if (needed <= tables)
            {
                MappedFrames = end / PageSize;
                break;
            }

            tables = needed;
        }

        ulong first = _next;
        Tables.AddRange(VirtualBase, MappedFrames * PageSize, ref _next);
        InitialTableCount = Tables.Tables.Count;
        _next = first + tables;
        BootStack = Take(1).First;
        _next = MappedFrames;
    }

    private void PlaceList(ulong address, ulong listSize)
    {
        P2M = Take(listSize / PageSize);
        P2MAddress = address;
        Tables.AddRange(address, listSize, ref _next);
        P2MWithTables = new FrameRange(P2M.First, _next - P2M.First);
    }
}
