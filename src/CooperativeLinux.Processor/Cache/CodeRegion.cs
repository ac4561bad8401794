using CooperativeLinux.Host.Memory;

namespace CooperativeLinux.Processor.Cache;

/// <summary>The part of the code memory that holds the blocks of one mode, and what those refer to by number.</summary>
internal sealed class CodeRegion
{
    /// <summary>Bytes that are brought in together.</summary>
    private const int Portion = 256 * 1024;

    private readonly CodeMemory _code;
    private readonly int _start;
    private readonly int _end;
    private int _present;

    /// <param name="code">Where the code is.</param>
    /// <param name="start">First usable offset.</param>
    /// <param name="end">End of the part.</param>
    public CodeRegion(CodeMemory code, int start, int end)
    {
        _code = code;
        _start = _present = start;
        _end = end;
        Position = start;
    }

    /// <summary>Where the next block goes.</summary>
    public int Position { get; set; }

    public int FreeBytes => _end - Position;

    /// <summary>All blocks since the last flush, in the order of their host code; dropped ones too.</summary>
    public List<Block> Blocks { get; } = [];

    public List<BlockExit> Exits { get; } = [];

    public List<AccessSite> Sites { get; } = [];

    public List<FaultPoint> FaultPoints { get; } = [];

    /// <summary>Instructions that managed code carries out.</summary>
    public List<(Iced.Intel.Instruction Instruction, Block Owner)> Instructions { get; } = [];

    public bool Contains(int offset) => offset >= _start && offset < _end;

    /// <summary>Before a block is emitted: has the host bring in memory for it.</summary>
    /// <param name="length">Bytes it may take.</param>
    public void BringIn(int length)
    {
        int wanted = Math.Min(Position + length, _end);
        if (wanted > _present)
        {
            _code.BringIn(_present, Portion);
            _present += Portion;
        }
    }

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
