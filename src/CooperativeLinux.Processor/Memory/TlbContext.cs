using System.Runtime.InteropServices;
using CooperativeLinux.Processor.Cache;

namespace CooperativeLinux.Processor.Memory;

/// <summary>The four TLB arrays of a context.</summary>
internal enum TlbArray
{
    KernelRead,
    KernelWrite,
    UserRead,
    UserWrite,
}

/// <summary>
/// Cached translations of one guest address space: TLB arrays and checked code pages, in the form
/// that emitted code reads.
/// </summary>
/// <remarks>
/// A TLB entry is {guest page address, distance from there to the host}; the index is bits 12… of the address. An empty entry holds
/// a page address that belongs to another index, so no address that selects the entry can match it.
/// </remarks>
internal sealed unsafe class TlbContext : IDisposable
{
    public const int TlbBits = 9;
    public const int TlbEntries = 1 << TlbBits;
    public const int TlbBytes = TlbEntries * 16;

    /// <summary>Arrays of each kind. A site uses one of them by its base register, so that source and target of a copy do not
    /// push each other out.</summary>
    public const int Banks = 4;

    /// <summary>Arrays in all: kind * Banks + bank.</summary>
    public const int ArrayCount = 4 * Banks;

    /// <summary>Slots for checked code pages; each id has one, so that only programs with more pages of code share them.</summary>
    public const int PageSlotCount = 4096;

    private const int SlotsOffset = ArrayCount * TlbBytes;
    private const int TotalBytes = SlotsOffset + (PageSlotCount * 4);

    private readonly byte* _memory;
    private readonly byte* _poison;

    public TlbContext(int index, byte* poison, nint branchMiss)
    {
        UserBranches = new BranchTable(branchMiss);
        Index = index;
        _poison = poison;
        _memory = (byte*)NativeMemory.AlignedAlloc(TotalBytes, 4096);
        Clear();
    }

    public int Index { get; }

    public uint Bit => 1u << Index;

    /// <summary>L4 frame of the kernel's table; 0: free.</summary>
    public ulong KernelRoot { get; set; }

    public ulong UserRoot { get; set; }

    public long LastUse { get; set; }

    /// <summary>User pages whose code was entered: page address to frame.</summary>
    public Dictionary<ulong, ulong> UserCodePages { get; } = [];

    /// <summary>Indirect branch targets in user mode.</summary>
    public BranchTable UserBranches { get; }

    public byte* PageSlots => _memory + SlotsOffset;

    /// <summary>Generation of the context's entries in the second TLB; 0: none yet.</summary>
    public uint Generation { get; set; }

    /// <summary>The first TLB is to be emptied before the context is used again.</summary>
    public bool IsStale { get; set; }

    public byte* Array(int index) => _memory + (index * TlbBytes);

    /// <summary>The slot that holds a page's id once the page was checked.</summary>
    public static int PageSlot(uint pageId) => (int)pageId & (PageSlotCount - 1);

    public void Fill(TlbArray array, int bank, ulong address, byte* hostPage)
    {
        ulong* entry = Entry(((int)array * Banks) + bank, address);
        entry[0] = address & ~0xFFFUL;
        entry[1] = (ulong)hostPage - entry[0];
    }

    /// <summary>Forgets one page in all arrays.</summary>
    public void Forget(ulong address)
    {
        ulong page = address & ~0xFFFUL;
        int index = (int)(address >> 12) & (TlbEntries - 1);
        for (int array = 0; array < ArrayCount; array++)
        {
            ulong* entry = Entry(array, address);
            if (entry[0] == page)
            {
                Empty(entry, index);
            }
        }
    }

    /// <summary>Takes a host page out of the write arrays, because code was translated from it.</summary>
    public void ForgetWritable(byte* hostPage)
    {
        foreach (TlbArray array in (ReadOnlySpan<TlbArray>)[TlbArray.KernelWrite, TlbArray.UserWrite])
        {
            ulong* entry = (ulong*)Array((int)array * Banks);
            for (int i = 0; i < TlbEntries * Banks; i++, entry += 2)
            {
                if (entry[0] + entry[1] == (ulong)hostPage)
                {
                    Empty(entry, i & (TlbEntries - 1));
                }
            }
        }
    }

    /// <summary>Empties the first TLB.</summary>
    public void ClearTlb()
    {
        IsStale = false;
        ulong* entry = (ulong*)_memory;
        for (int i = 0; i < ArrayCount * TlbEntries; i++, entry += 2)
        {
            Empty(entry, i & (TlbEntries - 1));
        }
    }

    /// <summary>Forgets what is known of user code pages.</summary>
    public void ClearUserCode()
    {
        UserCodePages.Clear();
        UserBranches.Clear();
        NativeMemory.Clear(PageSlots, PageSlotCount * 4);
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        Generation = 0;
        ClearTlb();
        ClearUserCode();
    }

    public void Dispose()
    {
        UserBranches.Dispose();
        NativeMemory.AlignedFree(_memory);
    }

    private ulong* Entry(int array, ulong address) => (ulong*)(Array(array) + (((address >> 12) & (TlbEntries - 1)) * 16));

    private void Empty(ulong* entry, int index)
    {
        entry[0] = (ulong)(index ^ (TlbEntries / 2)) << 12;
        entry[1] = (ulong)_poison - entry[0];
    }
}
