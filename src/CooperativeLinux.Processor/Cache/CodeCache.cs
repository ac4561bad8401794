using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Cache;

/// <summary>
/// The blocks of one vCPU: lookup, links between them, the frames they were made from, and dropping them when those change.
/// </summary>
internal sealed unsafe class CodeCache
{
    private readonly Assembler _asm;
    private readonly int _start;
    private readonly int _end;
    private readonly int _returnMiss;
    private readonly GuestMemory _memory;
    private readonly Dictionary<BlockKey, Block> _blocks = [];
    private readonly List<Block> _ordered = [];
    private readonly Dictionary<ulong, CodeFrame> _frames = [];

    /// <param name="start">First usable offset of the code region.</param>
    /// <param name="end">End of the code region.</param>
    public CodeCache(Assembler assembler, GuestMemory memory, int start, int end, int returnMiss)
    {
        _asm = assembler;
        _memory = memory;
        _start = start;
        _end = end;
        _returnMiss = returnMiss;
        _asm.Position = start;
    }

    public List<BlockExit> Exits { get; } = [];

    public List<AccessSite> Sites { get; } = [];

    public List<FaultPoint> FaultPoints { get; } = [];

    /// <summary>Instructions that managed code carries out.</summary>
    public List<(Iced.Intel.Instruction Instruction, Block Owner)> Instructions { get; } = [];

    /// <summary>Raised for every dropped block, before its links go.</summary>
    public Action<Block>? Dropping { get; set; }

    public int BlockCount => _blocks.Count;

    /// <summary>All blocks since the last flush, in the order of their host code; dropped ones too.</summary>
    public IReadOnlyList<Block> Blocks => _ordered;

    public long Flushes { get; private set; }

    public int BytesUsed => _asm.Position - _start;

    public int FreeBytes => _end - _asm.Position;

    public Block? Find(in BlockKey key) => _blocks.GetValueOrDefault(key);

    public void Add(Block block)
    {
        _blocks.Add(block.Key, block);
        _ordered.Add(block);
        int offset = (int)(block.Key.Physical & 0xFFF);
        int inFirst = Math.Min(block.GuestLength, 4096 - offset);
        Cover(block.Frame, block, offset, inFirst);
        foreach ((int start, int length) in block.Lookahead ?? [])
        {
            Cover(block.Frame, block, start, length);
        }

        if (inFirst < block.GuestLength)
        {
            Cover(block.SecondFrame, block, 0, block.GuestLength - inFirst);
        }
    }

    /// <summary>Whether a frame holds translated code.</summary>
    public bool IsCode(ulong frame) => _frames.ContainsKey(frame);

    /// <summary>Block that contains a host code offset, or null.</summary>
    public Block? FindByHostOffset(int offset)
    {
        int low = 0;
        int high = _ordered.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            Block block = _ordered[middle];
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

    public void Link(int exit, Block target, int entry)
    {
        BlockExit record = Exits[exit];
        if (record.LinkedTo != null || record.Owner.Dropped)
        {
            return;
        }

        _asm.PatchRelative(record.Patch, entry);
        record.LinkedTo = target;
        record.NextIncoming = target.Incoming;
        Exits[exit] = record;
        target.Incoming = exit;
    }

    /// <summary>Drops the blocks made from bytes of a frame that overlap a range.</summary>
    /// <returns>Whether any was dropped.</returns>
    public bool Invalidate(ulong frame, int offset, int length)
    {
        if (!_frames.TryGetValue(frame, out CodeFrame? code) || !code.Overlaps(offset, length))
        {
            return false;
        }

        bool any = false;
        for (int i = code.Blocks.Count - 1; i >= 0; i--)
        {
            (Block block, int start, int size) = code.Blocks[i];
            if (start < offset + length && offset < start + size)
            {
                Drop(block);
                any = true;
                i = Math.Min(i, code.Blocks.Count);
            }
        }

        return any;
    }

    /// <summary>Drops the blocks of a frame that the guest sees at a given page address.</summary>
    public void DropMapped(ulong frame, ulong pageAddress)
    {
        if (!_frames.TryGetValue(frame, out CodeFrame? code))
        {
            return;
        }

        for (int i = code.Blocks.Count - 1; i >= 0; i--)
        {
            if (i < code.Blocks.Count && (code.Blocks[i].Block.Key.Virtual & ~0xFFFUL) == pageAddress)
            {
                Drop(code.Blocks[i].Block);
            }
        }
    }

    public void Drop(Block block)
    {
        if (block.Dropped)
        {
            return;
        }

        block.Dropped = true;
        Dropping?.Invoke(block);
        for (int exit = block.Incoming; exit >= 0;)
        {
            BlockExit record = Exits[exit];
            int next = record.NextIncoming;
            _asm.PatchRelative(record.Patch, record.Cold);
            record.LinkedTo = null;
            record.NextIncoming = -1;
            Exits[exit] = record;
            exit = next;
        }

        block.Incoming = -1;
        for (int exit = block.FirstExit; exit < block.FirstExit + block.ExitCount; exit++)
        {
            Unlink(exit);
        }

        if (block.Landings != null)
        {
            int position = _asm.Position;
            foreach (int landing in block.Landings)
            {
                _asm.Position = landing;
                _asm.Jump(_returnMiss);
            }

            _asm.Position = position;
        }

        _blocks.Remove(block.Key);
        Uncover(block.Frame, block);
        if (block.SecondFrame != 0)
        {
            Uncover(block.SecondFrame, block);
        }
    }

    /// <summary>Forgets all code. The caller must not return into it.</summary>
    public void Clear()
    {
        foreach (ulong frame in _frames.Keys)
        {
            if (frame < (ulong)_memory.CodeFrames.Length)
            {
                _memory.CodeFrames[frame] = 0;
            }
        }

        _frames.Clear();
        _blocks.Clear();
        _ordered.Clear();
        Exits.Clear();
        Sites.Clear();
        FaultPoints.Clear();
        Instructions.Clear();
        _asm.Position = _start;
        Flushes++;
    }

    private void Unlink(int exit)
    {
        BlockExit record = Exits[exit];
        if (record.LinkedTo == null)
        {
            return;
        }

        Block target = record.LinkedTo;
        if (target.Incoming == exit)
        {
            target.Incoming = record.NextIncoming;
        }
        else
        {
            for (int other = target.Incoming; other >= 0; other = Exits[other].NextIncoming)
            {
                BlockExit previous = Exits[other];
                if (previous.NextIncoming == exit)
                {
                    previous.NextIncoming = record.NextIncoming;
                    Exits[other] = previous;
                    break;
                }
            }
        }

        record.LinkedTo = null;
        record.NextIncoming = -1;
        Exits[exit] = record;
        _asm.PatchRelative(record.Patch, record.Cold);
    }

    private void Cover(ulong frame, Block block, int offset, int length)
    {
        if (!_frames.TryGetValue(frame, out CodeFrame? code))
        {
            code = new CodeFrame();
            _frames.Add(frame, code);
            if (frame < (ulong)_memory.CodeFrames.Length)
            {
                _memory.CodeFrames[frame] = 1;
            }
        }

        code.Blocks.Add((block, offset, length));
        code.Mark(offset, length);
    }

    private void Uncover(ulong frame, Block block)
    {
        if (_frames.TryGetValue(frame, out CodeFrame? code))
        {
            code.Blocks.RemoveAll(entry => entry.Block == block);
            if (code.Blocks.Count == 0)
            {
                _frames.Remove(frame);
                if (frame < (ulong)_memory.CodeFrames.Length)
                {
                    _memory.CodeFrames[frame] = 0;
                }
            }
        }
    }

    /// <summary>The blocks made from one frame, and which of its bytes they cover (at least).</summary>
    private sealed class CodeFrame
    {
        private readonly ulong[] _covered = new ulong[4096 / 64];

        public List<(Block Block, int Offset, int Length)> Blocks { get; } = [];

        public void Mark(int offset, int length)
        {
            for (int i = offset; i < offset + length; i++)
            {
                _covered[i >> 6] |= 1UL << (i & 63);
            }
        }

        public bool Overlaps(int offset, int length)
        {
            for (int i = offset; i < offset + length && i < 4096; i++)
            {
                if ((_covered[i >> 6] & (1UL << (i & 63))) != 0)
                {
                    return true;
                }
            }

            return false;
        }
    }
}
