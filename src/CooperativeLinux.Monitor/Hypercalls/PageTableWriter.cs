using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>Writes page-table entries for the guest and tells the processor, which drops what the old entry gave.</summary>
internal static class PageTableWriter
{
    private const ulong Present = 1, Accessed = 1 << 5, Dirty = 1 << 6, PageSizeBit = 1 << 7, FrameMask = 0x000f_ffff_ffff_f000;

    /// <summary>Writes the entry at a guest-physical address; false if there is none.</summary>
    /// <param name="vcpu">The vCPU that asks.</param>
    /// <param name="address">Address of the entry, a multiple of 8.</param>
    /// <param name="value">New value.</param>
    /// <param name="preserveAccessedDirty">Keep the accessed and dirty bits that are set, atomically.</param>
    public static bool TryWrite(VcpuContext vcpu, ulong address, ulong value, bool preserveAccessedDirty)
    {
        // WritableRange drops code translated from the frame; a page table normally has none.
        if (address % 8 != 0 || vcpu.Memory.WritableRange(address, 8).IsEmpty
            || !vcpu.Memory.TryGetReference(address, out GuestReference<ulong> entry))
        {
            return false;
        }

        ulong old;
        if (preserveAccessedDirty)
        {
            ulong wanted;
            do
            {
                old = Volatile.Read(ref entry.Value);
                wanted = value | (old & (Accessed | Dirty));
            }
            while (Interlocked.CompareExchange(ref entry.Value, wanted, old) != old);
            value = wanted;
        }
        else
        {
            old = Interlocked.Exchange(ref entry.Value, value);
        }

        if (old != value)
        {
            vcpu.Processor.OnPageTableEntryWritten(address, old, value);
        }

        return true;
    }

    /// <summary>Finds the level-1 entry that maps an address in the kernel's tables.</summary>
    /// <returns>Whether there is a level-1 table for it.</returns>
    public static bool TryFindEntry(VcpuContext vcpu, ulong virtualAddress, out ulong entryAddress)
    {
        entryAddress = 0;
        if (!CanonicalAddress.IsCanonical(virtualAddress))
        {
            return false;
        }

        ulong table = vcpu.KernelRoot << 12;
        for (int shift = 39; shift > 12; shift -= 9)
        {
            ulong address = table + (((virtualAddress >> shift) & 0x1ff) * 8);
            if (!vcpu.Memory.TryRead(address, out ulong entry) || (entry & Present) == 0 || (shift < 39 && (entry & PageSizeBit) != 0))
            {
                return false;
            }

            table = entry & FrameMask;
        }

        entryAddress = table + (((virtualAddress >> 12) & 0x1ff) * 8);
        return true;
    }
}
