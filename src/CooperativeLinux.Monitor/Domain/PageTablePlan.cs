namespace CooperativeLinux.Monitor.Domain;

/// <summary>Which page tables a set of virtual ranges needs, and in which frames they are.</summary>
internal sealed class PageTablePlan
{
    private const int PageShift = 12;
    private const int IndexBits = 9;
    private const int TopLevel = 4;
    private const ulong AddressMask = (1ul << 48) - 1;

    private readonly List<Table> _tables = [];
    private readonly Dictionary<(int Level, ulong Region), ulong> _frames = [];

    /// <summary>All tables, in the order they were added.</summary>
    public IReadOnlyList<Table> Tables => _tables;

    /// <summary>Tables a range needs where nothing is mapped yet.</summary>
    /// <param name="first">Virtual address of the first byte.</param>
    /// <param name="size">Bytes, at least 1; the range does not cross the non-canonical hole.</param>
    public static ulong Count(ulong first, ulong size)
    {
        ulong count = 0;
        for (int level = TopLevel; level >= 1; level--)
        {
            count += RegionOf(first + (size - 1), level) - RegionOf(first, level) + 1;
        }

        return count;
    }

    /// <summary>Adds the tables a range needs that are not there yet: from the top level down, addresses ascending.</summary>
    /// <param name="first">Virtual address of the first byte.</param>
    /// <param name="size">Bytes, at least 1.</param>
    /// <param name="nextFrame">Frame of the next table; moved on.</param>
    public void AddRange(ulong first, ulong size, ref ulong nextFrame)
    {
        for (int level = TopLevel; level >= 1; level--)
        {
            ulong last = RegionOf(first + (size - 1), level);
            for (ulong region = RegionOf(first, level); region <= last; region++)
            {
                if (_frames.TryAdd((level, region), nextFrame))
                {
                    _tables.Add(new Table(nextFrame, level, region));
                    nextFrame++;
                }
            }
        }
    }

    /// <summary>Frame of the table above another one.</summary>
    public ulong ParentOf(Table table) => _frames[(table.Level + 1, table.Region >> IndexBits)];

    /// <summary>Frame of the lowest table for an address that was added.</summary>
    public ulong LeafTableOf(ulong address) => _frames[(1, RegionOf(address, 1))];

    // The number of the stretch of addresses that one table of a level serves.
    private static ulong RegionOf(ulong address, int level) =>
        (address & AddressMask) >> (PageShift + (IndexBits * level));

    /// <summary>A table: its frame, level and the number of the stretch of addresses it serves.</summary>
    internal readonly record struct Table(ulong Frame, int Level, ulong Region)
    {
        /// <summary>Its index in the table above.</summary>
        public int IndexInParent => (int)(Region & ((1 << IndexBits) - 1));
    }
}
