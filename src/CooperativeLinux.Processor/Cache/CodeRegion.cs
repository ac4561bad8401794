namespace CooperativeLinux.Processor.Cache;

/// <summary>The part of the code memory that holds the blocks of one mode, and what those refer to by number.</summary>
internal sealed class CodeRegion
{
    private readonly int _start;
    private readonly int _end;

    /// <param name="start">First usable offset.</param>
    /// <param name="end">End of the part.</param>
    public CodeRegion(int start, int end)
    {
        _start = start;
        _end = end;
        Position = start;
    }

    /// <summary>Where the next block goes.</summary>
    public int Position { get; set; }

    public int FreeBytes => _end - Position;

    /// <summary>All blocks since the last flush, in the order of their host code; dropped ones too.</summary>
    public List<Block> Blocks { get; } = [];

    public RecordList<BlockExit> Exits { get; } = new();

    public RecordList<AccessSite> Sites { get; } = new();

    public RecordList<FaultPoint> FaultPoints { get; } = new();

    /// <summary>Instructions that managed code carries out.</summary>
    public RecordList<(Iced.Intel.Instruction Instruction, Block Owner)> Instructions { get; } = new();

    public bool Contains(int offset) => offset >= _start && offset < _end;

    /// <summary>Block that contains a host code offset, or null.</summary>
    public Block? Find(int offset)
    {
        int low = 0;
        int high = Blocks.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            Block block = Blocks[middle];
            if (offset < block.HostStart)
            {
                high = middle - 1;
            }
            else if (offset >= block.HostEnd)
            {
                low = middle + 1;
            }
            else
            {
                return block;
            }
        }

        return null;
    }

    public void Clear()
    {
        Blocks.Clear();
        Exits.Clear();
        Sites.Clear();
        FaultPoints.Clear();
        Instructions.Clear();
        Position = _start;
    }
}
