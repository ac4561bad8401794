using CooperativeLinux.Processor.Memory;
using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Translated;

/// <summary>Guest memory with page tables that show the pages of <see cref="TestLayout"/> at the same addresses as natively.</summary>
internal sealed class GuestPages : IDisposable
{
    /// <summary>Where a page of helper code and, behind it, a page of data are mapped.</summary>
    public const ulong HelperCode = 0x30_0000_0000, HelperData = HelperCode + TestLayout.PageSize;

    private const ulong MemorySize = 4 << 20;
    private const ulong RootFrame = 1, FirstSlotFrame = 256, HelperFrame = 512;
    private readonly List<(int Page, ulong Entry)> _entries = [];
    private readonly byte[] _loaded = new byte[TestLayout.MemorySize];
    private ulong _nextTable = RootFrame + 1;

    /// <param name="accessedAndDirty">Whether entries start with these bits set; otherwise the walker sets them.</param>
    public GuestPages(bool accessedAndDirty)
    {
        ulong extra = accessedAndDirty ? Pte.Accessed | Pte.Dirty : 0;
        for (int page = 0; page < TestLayout.PageCount; page++)
        {
            ulong rights = TestLayout.Access(page) switch
            {
                PageAccess.ReadOnly => Pte.NoExecute,
                PageAccess.ReadWrite => Pte.NoExecute | Pte.Writable,
                _ => Pte.Writable,
            };
            if (TestLayout.Slot(page) >= 0)
            {
                ulong offset = (ulong)page * TestLayout.PageSize;
                _entries.Add((page, Map(TestLayout.Low + offset, FrameOf(page), rights | extra)));
                _entries.Add((page, Map(TestLayout.High + offset, FrameOf(page), rights | extra)));
            }
        }

        Map(HelperCode, HelperFrame, extra);
        Map(HelperData, HelperFrame + 1, Pte.Writable | Pte.NoExecute | extra);
    }

    public GuestMemory Memory { get; } = new(MemorySize);

    public static ulong Root => RootFrame;

    /// <summary>The bytes behind <see cref="HelperCode"/>.</summary>
    public Span<byte> HelperCodeBytes => Memory.Frame(HelperFrame);

    /// <summary>The bytes behind <see cref="HelperData"/>.</summary>
    public Span<byte> HelperDataBytes => Memory.Frame(HelperFrame + 1);

    /// <summary>Frame of a present page.</summary>
    public static ulong FrameOf(int page) => FirstSlotFrame + (ulong)TestLayout.Slot(page);

    public void Load(TestState state)
    {
        state.Memory.CopyTo(_loaded, 0);
        if (!Memory.TryWrite(FirstSlotFrame * TestLayout.PageSize, state.Memory))
        {
            throw new InvalidOperationException("The guest memory is too small.");
        }
    }

    public void Store(TestState state)
    {
        if (!Memory.TryRead(FirstSlotFrame * TestLayout.PageSize, state.Memory))
        {
            throw new InvalidOperationException("The guest memory is too small.");
        }
    }

    /// <summary>Clears the accessed and dirty bits of all test pages.</summary>
    public void ClearAccessedAndDirty()
    {
        foreach ((_, ulong address) in _entries)
        {
            Memory.TryRead(address, out ulong entry);
            Memory.TryWrite(address, entry & ~(Pte.Accessed | Pte.Dirty));
        }
    }

    /// <summary>Looks for a page whose bytes changed although no mapping of it is dirty, or that is dirty without having been accessed.</summary>
    /// <returns>A description, or null if there is none.</returns>
    public string? FindUnmarkedChange()
    {
        foreach (IGrouping<int, (int Page, ulong Entry)> group in _entries.GroupBy(entry => entry.Page))
        {
            ulong bits = 0;
            foreach ((_, ulong address) in group)
            {
                Memory.TryRead(address, out ulong entry);
                if ((entry & Pte.Dirty) != 0 && (entry & (Pte.Accessed | Pte.Writable)) != (Pte.Accessed | Pte.Writable))
                {
                    return $"The entry of page {group.Key} is {entry:x}: dirty, but not accessed or not writable.";
                }

                bits |= entry;
            }

            bool changed = !Memory.Frame(FrameOf(group.Key)).SequenceEqual(_loaded.AsSpan(TestLayout.Slot(group.Key) * TestLayout.PageSize, TestLayout.PageSize));
            if (changed && (bits & Pte.Dirty) == 0)
            {
                return $"Page {group.Key} changed, but no entry that maps it is dirty.";
            }
        }

        return null;
    }

    public void Dispose() => Memory.Dispose();

    /// <summary>Maps a page; returns the guest-physical address of its entry.</summary>
    private ulong Map(ulong address, ulong frame, ulong rights)
    {
        ulong table = RootFrame;
        for (int level = 4; level > 1; level--)
        {
            ulong entryAddress = EntryAddress(table, address, level);
            Memory.TryRead(entryAddress, out ulong entry);
            if (entry == 0)
            {
                entry = (_nextTable++ << 12) | Pte.Present | Pte.Writable | Pte.User | Pte.Accessed;
                Memory.TryWrite(entryAddress, entry);
            }

            table = (entry & Pte.FrameMask) >> 12;
        }

        ulong last = EntryAddress(table, address, 1);
        Memory.TryWrite(last, (frame << 12) | Pte.Present | Pte.User | rights);
        return last;
    }

    private static ulong EntryAddress(ulong table, ulong address, int level) =>
        (table * TestLayout.PageSize) + (8 * ((address >> (3 + (9 * level))) & 511));
}
