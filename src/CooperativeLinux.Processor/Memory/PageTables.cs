using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Processor.Memory;

/// <summary>Bits of a page-table entry (Intel SDM volume 3, 4-level paging).</summary>
internal static class Pte
{
    public const ulong Present = 1, Writable = 2, User = 4, Accessed = 0x20, Dirty = 0x40, NoExecute = 1UL << 63;
    public const ulong FrameMask = 0x000F_FFFF_FFFF_F000;
}

/// <summary>Bits of a page-fault error code.</summary>
internal static class PageFaultCode
{
    public const uint Present = 1, Write = 2, User = 4, Fetch = 16;
}

/// <summary>What is known of a frame that serves, or served, as a page table.</summary>
internal struct TableInfo
{
    /// <summary>First virtual address the table maps, as the last walk through it found.</summary>
    public ulong VirtualBase;

    /// <summary>Contexts whose cached translations came through this table, a bit each.</summary>
    public uint Contexts;

    /// <summary>1 to 4 for a table, 0 for ordinary memory.</summary>
    public byte Level;
}

/// <summary>Result of a walk.</summary>
internal unsafe struct Translation
{
    /// <summary>Frame number the page maps.</summary>
    public ulong Frame;

    /// <summary>Host address of the page, or null where the frame does not exist.</summary>
    public byte* HostPage;

    /// <summary>Page-fault error code; meaningful when the walk failed.</summary>
    public uint Error;

    public bool Writable;
    public bool Dirty;
}

/// <summary>Walks guest page tables as the hardware does, with accessed and dirty bits.</summary>
internal sealed unsafe class PageTables : IDisposable
{
    private readonly GuestMemory _memory;
    private readonly HostAllocation _infos;

    public PageTables(GuestMemory memory)
    {
        _memory = memory;
        _infos = HostAllocation.AllocateSparse((memory.FrameCount * (ulong)sizeof(TableInfo) + 4095) & ~4095UL);
    }

    /// <summary>The record of a frame of RAM.</summary>
    public TableInfo* Info(ulong frame) => frame < _memory.FrameCount ? (TableInfo*)_infos.Pointer + frame : null;

    /// <summary>
    /// Translates with the rights of <paramref name="user"/> mode or kernel mode. On success the accessed bits (and for a write
    /// the dirty bit) are set. On failure <see cref="Translation.Error"/> is the error code to deliver;
    /// <see cref="Translation.Frame"/> is valid if its Present bit is set.
    /// </summary>
    public bool TryWalk(ulong root, ulong address, bool write, bool execute, bool user, uint contextBit, out Translation result)
    {
        result = default;
        result.Error = (write ? PageFaultCode.Write : 0) | (user ? PageFaultCode.User : 0) | (execute ? PageFaultCode.Fetch : 0);
        ulong rights = Pte.Writable | Pte.User;
        ulong noExecute = 0;
        ulong frame = root;
        for (int level = 4; ; level--)
        {
            byte* table = _memory.FramePointer(frame);
            if (table == null)
            {
                return false;
            }

            int shift = 3 + (9 * level);
            TableInfo* info = Info(frame);
            if (info != null)
            {
                info->Level = (byte)level;
                info->Contexts |= contextBit;
                info->VirtualBase = level == 4 ? 0 : address & ~((1UL << (shift + 9)) - 1);
            }

            ulong* slot = (ulong*)table + ((address >> shift) & 511);
            ulong entry = Volatile.Read(ref *slot);
            if ((entry & Pte.Present) == 0)
            {
                return false;
            }

            rights &= entry;
            noExecute |= entry & Pte.NoExecute;
            frame = (entry & Pte.FrameMask) >> 12;
            if (level > 1)
            {
                if ((entry & Pte.Accessed) == 0)
                {
                    Interlocked.Or(ref *slot, Pte.Accessed);
                }

                continue;
            }

            result.Frame = frame;
            result.Error |= PageFaultCode.Present;
            result.Writable = (rights & Pte.Writable) != 0;
            if ((user && (rights & Pte.User) == 0) || (write && !result.Writable) || (execute && noExecute != 0))
            {
                return false;
            }

            ulong wanted = Pte.Accessed | (write ? Pte.Dirty : 0);
            if ((entry & wanted) != wanted)
            {
                Interlocked.Or(ref *slot, wanted);
            }

            result.Dirty = ((entry | wanted) & Pte.Dirty) != 0;
            result.HostPage = _memory.FramePointer(frame);
            return true;
        }
    }

    public void Dispose() => _infos.Dispose();
}
