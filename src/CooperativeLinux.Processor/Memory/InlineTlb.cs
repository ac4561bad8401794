using CooperativeLinux.Processor.Cache;

namespace CooperativeLinux.Processor.Memory;

/// <summary>
/// TLB entries that belong to one access site each, for user code that runs often: the last page accessed there, at an address that the
/// code names directly. An access to that page again needs no lookup, and what it loads does not wait for one.
/// </summary>
/// <remarks>
/// An entry is a guest page address and the distance from there to the host, in two arrays in the data region, with the number of misses
/// in a third. An empty entry holds a page that only non-canonical addresses match, and leads to the page without access. Stubs fill
/// entries from the second TLB; what that forgets is forgotten here. The entries hold translations of the current context only.
/// </remarks>
internal sealed unsafe class InlineTlb
{
    /// <summary>Entries for reading, and as many for writing behind them.</summary>
    public const int EntriesOfKind = 512;

    public const int Entries = 2 * EntriesOfKind;

    /// <summary>Bytes from an entry's page address to its distance, and from there to its misses.</summary>
    public const int ArrayBytes = Entries * sizeof(ulong);

    public const int TotalBytes = 3 * ArrayBytes;

    // It is its own negative.
    private const ulong Nowhere = 0x8000_0000_0000_0000;

    private readonly ulong* _pages;
    private readonly ulong* _distances;
    private readonly ulong* _misses;
    private readonly ulong _nowhereDistance;
    private readonly Stack<int>[] _free = [new(), new()];
    private readonly (Block Owner, ulong Physical)[] _sites = new (Block, ulong)[Entries];

    // Sites that access many pages in turn: they are better off with a lookup.
    private readonly HashSet<ulong> _scattered = [];

    /// <param name="memory">Where the arrays are, <see cref="TotalBytes"/> long.</param>
    /// <param name="poison">The page without access.</param>
    public InlineTlb(byte* memory, byte* poison)
    {
        _pages = (ulong*)memory;
        _distances = (ulong*)(memory + ArrayBytes);
        _misses = (ulong*)(memory + (2 * ArrayBytes));
        _nowhereDistance = (ulong)poison - Nowhere;
        Reset();
    }

    /// <summary>An entry was wanted and none was free.</summary>
    public bool IsExhausted { get; private set; }

    private int InUse => Entries - _free[0].Count - _free[1].Count;

    /// <summary>Takes an entry for a site of a block that is being made.</summary>
    /// <param name="owner">The block.</param>
    /// <param name="physical">Guest-physical address of the instruction.</param>
    /// <param name="write">Whether the site writes.</param>
    /// <returns>Its number, or -1: the site is to use a lookup.</returns>
    public int Take(Block owner, ulong physical, bool write)
    {
        if (_scattered.Contains(physical))
        {
            return -1;
        }

        if (!_free[write ? 1 : 0].TryPop(out int entry))
        {
            IsExhausted = true;
            return -1;
        }

        _sites[entry] = (owner, physical);
        (owner.InlineEntries ??= []).Add(entry);
        _misses[entry] = 0;
        return entry;
    }

    /// <summary>Gives back the entries of a block.</summary>
    public void Release(Block block)
    {
        foreach (int entry in block.InlineEntries ?? [])
        {
            Empty(entry);
            _sites[entry] = default;
            _free[entry / EntriesOfKind].Push(entry);
        }

        block.InlineEntries = null;
    }

    /// <summary>Blocks with sites that missed more often than a limit since this was asked last. Those sites get no entry again.</summary>
    public List<Block> TakeScattered(ulong limit)
    {
        List<Block> found = [];
        if (InUse == 0)
        {
            return found;
        }

        for (int entry = 0; entry < Entries; entry++)
        {
            if (_misses[entry] > limit && _sites[entry].Owner is Block owner)
            {
                _scattered.Add(_sites[entry].Physical);
                found.Add(owner);
            }

            _misses[entry] = 0;
        }

        return found;
    }

    /// <summary>Forgets a page.</summary>
    public void Forget(ulong address)
    {
        if (InUse == 0)
        {
            return;
        }

        ulong page = address & ~0xFFFUL;
        ReadOnlySpan<ulong> pages = new(_pages, Entries);
        for (int start = 0; ;)
        {
            int found = pages[start..].IndexOf(page);
            if (found < 0)
            {
                return;
            }

            start += found;
            Empty(start);
        }
    }

    /// <summary>Forgets all translations.</summary>
    public void Clear()
    {
        if (InUse > 0)
        {
            EmptyAll();
        }
    }

    /// <summary>Takes all entries back. No block that has some may run again.</summary>
    public void Reset()
    {
        IsExhausted = false;
        Array.Clear(_sites);
        _scattered.Clear();
        for (int kind = 0; kind < 2; kind++)
        {
            _free[kind].Clear();
            for (int entry = EntriesOfKind - 1; entry >= 0; entry--)
            {
                _free[kind].Push((kind * EntriesOfKind) + entry);
            }
        }

        EmptyAll();
    }

    private void EmptyAll()
    {
        new Span<ulong>(_pages, Entries).Fill(Nowhere);
        new Span<ulong>(_distances, Entries).Fill(_nowhereDistance);
    }

    private void Empty(int entry)
    {
        _pages[entry] = Nowhere;
        _distances[entry] = _nowhereDistance;
    }
}
