using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Tests.Domain;

/// <summary>Walks page tables in guest memory as a processor does.</summary>
internal sealed class PageWalker(GuestMemory memory, ulong topTable)
{
    /// <summary>The entries met on the way to an address, from level 4 down to 1 or to the first not present.</summary>
    public List<ulong> Walk(ulong address)
    {
        List<ulong> entries = [];
        ulong table = topTable;
        for (int level = 4; level >= 1; level--)
        {
            ulong index = (address >> (3 + (9 * level))) & 511;
            ulong entry = Read((table * 4096) + (index * 8));
            entries.Add(entry);
            if ((entry & 1) == 0)
            {
                break;
            }

            table = (entry & 0x000ffffffffff000) >> 12;
        }

        return entries;
    }

    /// <summary>The lowest entry for an address; 0 if it is not mapped.</summary>
    public ulong Leaf(ulong address)
    {
        List<ulong> entries = Walk(address);
        return entries.Count == 4 ? entries[3] : 0;
    }

    /// <summary>A value at a virtual address.</summary>
    public ulong ReadVirtual(ulong address) => Read(((Leaf(address) >> 12) << 12) + (address & 4095));

    /// <summary>How many addresses of 4 KiB pages are mapped in all.</summary>
    public int CountPages() => CountPages(topTable, 4);

    private int CountPages(ulong table, int level)
    {
        int count = 0;
        for (ulong index = 0; index < 512; index++)
        {
            ulong entry = Read((table * 4096) + (index * 8));
            if ((entry & 1) != 0)
            {
                count += level == 1 ? 1 : CountPages((entry & 0x000ffffffffff000) >> 12, level - 1);
            }
            else if (entry != 0)
            {
                throw new InvalidOperationException($"entry {entry:x} is neither present nor zero");
            }
        }

        return count;
    }

    private ulong Read(ulong address) =>
        memory.TryRead(address, out ulong value) ? value : throw new InvalidOperationException($"no memory at {address:x}");
}
