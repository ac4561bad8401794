using System.Buffers.Binary;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>What a page of the test region allows.</summary>
internal enum PageAccess
{
    Absent,
    ReadOnly,
    ReadWrite,
    Code,
}

/// <summary>
/// The address space every test runs in. The same pages are visible at two addresses: <see cref="Low"/>, reachable with
/// 32-bit addresses, and <see cref="High"/>, whose upper half makes truncation visible. Low and High differ only above bit 31.
/// </summary>
internal static class TestLayout
{
    public const int PageSize = 4096;
    public const ulong Low = 0x2000_0000;
    public const ulong High = 0x10_2000_0000;

    /// <summary>Pages from <see cref="Low"/> or <see cref="High"/>; everything outside is absent.</summary>
    public const int PageCount = 24;

    public const int DataA = 1, DataB = 2, DataC = 4, ReadOnlyC = 5, StackFirst = 7, StackLast = 8, ReadOnlyD = 10, DataD = 11,
        CodeFirst = 16, CodeLast = 17;

    /// <summary>Offset that is in the middle of the stack.</summary>
    public const ulong StackMiddle = StackLast * PageSize;

    private static readonly PageAccess[] Pages = BuildPages();
    private static readonly int[] Slots = BuildSlots();

    /// <summary>Present pages.</summary>
    public static int SlotCount { get; } = Pages.Count(page => page != PageAccess.Absent);

    /// <summary>Bytes of all present pages.</summary>
    public static int MemorySize => SlotCount * PageSize;

    public static PageAccess Access(int page) => page is >= 0 and < PageCount ? Pages[page] : PageAccess.Absent;

    /// <summary>Index of a present page among the present pages, -1 for an absent one.</summary>
    public static int Slot(int page) => page is >= 0 and < PageCount ? Slots[page] : -1;

    /// <summary>Offset from the region's start of an address in either view, or -1 outside both.</summary>
    public static long RegionOffset(ulong address)
    {
        const ulong Size = PageCount * PageSize;
        return address - Low < Size ? (long)(address - Low) : address - High < Size ? (long)(address - High) : -1;
    }

    /// <summary>Position in <see cref="TestState.Memory"/> of an address, or -1 where nothing is mapped.</summary>
    public static int MemoryIndex(ulong address)
    {
        long offset = RegionOffset(address);
        int slot = offset < 0 ? -1 : Slot((int)(offset / PageSize));
        return slot < 0 ? -1 : (slot * PageSize) + (int)(offset % PageSize);
    }

    /// <summary>Address in the high view of a position in <see cref="TestState.Memory"/>.</summary>
    public static ulong AddressOf(int memoryIndex)
    {
        int slot = memoryIndex / PageSize;
        return High + ((ulong)Array.IndexOf(Slots, slot) * PageSize) + (ulong)(memoryIndex % PageSize);
    }

    /// <summary>The memory every case starts from: edge values and random bytes in data pages, int3 in code pages. Cases
    /// are stored as differences to it, so it must not change.</summary>
    public static byte[] CreatePattern()
    {
        byte[] memory = new byte[MemorySize];
        Rng rng = new(0x636f_6f70_6c69_6e75);
        for (int page = 0; page < PageCount; page++)
        {
            int slot = Slot(page);
            if (slot < 0)
            {
                continue;
            }

            Span<byte> bytes = memory.AsSpan(slot * PageSize, PageSize);
            if (Access(page) == PageAccess.Code)
            {
                bytes.Fill(0xCC);
                continue;
            }

            for (int i = 0; i < PageSize; i += 8)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(bytes[i..], rng.Chance(4) ? 0x0101_0101_0101_0101ul * (ulong)rng.Below(256) : rng.Next());
            }
        }

        return memory;
    }

    private static PageAccess[] BuildPages()
    {
        PageAccess[] pages = new PageAccess[PageCount];
        foreach (int page in (ReadOnlySpan<int>)[DataA, DataB, DataC, StackFirst, StackLast, DataD])
        {
            pages[page] = PageAccess.ReadWrite;
        }

        pages[ReadOnlyC] = PageAccess.ReadOnly;
        pages[ReadOnlyD] = PageAccess.ReadOnly;
        pages[CodeFirst] = PageAccess.Code;
        pages[CodeLast] = PageAccess.Code;
        return pages;
    }

    private static int[] BuildSlots()
    {
        int[] slots = new int[PageCount];
        int next = 0;
        for (int page = 0; page < PageCount; page++)
        {
            slots[page] = Pages[page] == PageAccess.Absent ? -1 : next++;
        }

        return slots;
    }
}
