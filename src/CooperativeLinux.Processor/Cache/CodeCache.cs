using CooperativeLinux.Host.Memory;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Cache;

/// <summary>
/// The blocks of one vCPU: lookup, links between them, the frames they were made from, and dropping them when those change.
/// </summary>
internal sealed unsafe class CodeCache
{
    /// <summary>Bytes of host code kept of programs that are started again and again.</summary>
    private const int MaxTemplateBytes = 16 << 20;

    private readonly Assembler _asm;
    private readonly int _returnMiss;
    private readonly GuestMemory _memory;
    private readonly CodeRegion _kernel;
    private readonly CodeRegion _user;
    private readonly Dictionary<BlockKey, Block> _blocks = [];
    private readonly Dictionary<ulong, CodeFrame> _frames = [];

    // User blocks that can be moved, and templates made of such, by physical address and variant: a key without a virtual address.
    private readonly Dictionary<BlockKey, Block> _movable = [];
    private readonly Dictionary<BlockKey, BlockTemplate> _templates = [];
    private int _templateBytes;

    /// <param name="start">First usable offset of the code.</param>
    public CodeCache(Assembler assembler, GuestMemory memory, CodeMemory code, int start, int returnMiss)
    {
        _asm = assembler;
        _memory = memory;
        _returnMiss = returnMiss;
        int middle = start + ((code.CodeSize - start) / 2);
        _kernel = new CodeRegion(code, start, middle);
        _user = new CodeRegion(code, middle, code.CodeSize);
    }

    /// <summary>Raised for every dropped block, before its links go.</summary>
    public Action<Block>? Dropping { get; set; }

    /// <summary>All blocks since the last flush, in the order of their host code; dropped ones too.</summary>
    public IEnumerable<Block> Blocks => _kernel.Blocks.Concat(_user.Blocks);

    public long Flushes { get; private set; }

    /// <summary>Where blocks of a mode are.</summary>
    public CodeRegion Of(bool user) => user ? _user : _kernel;

    public Block? Find(in BlockKey key) => _blocks.GetValueOrDefault(key);

    /// <summary>A template for blocks at a key's physical address, if such a block was made since its code was last written.</summary>
    public BlockTemplate? FindTemplate(in BlockKey key)
    {
        BlockKey anywhere = key with { Virtual = 0 };
        if (_templates.TryGetValue(anywhere, out BlockTemplate? template))
        {
            return template;
        }

        return _movable.TryGetValue(anywhere, out Block? block) ? Keep(anywhere, block) : null;
    }

    /// <summary>Adds a block that was emitted at the assembler's position.</summary>
    public void Add(Block block)
    {
        _blocks.Add(block.Key, block);
        Of(block.Key.User).Blocks.Add(block);
        Of(block.Key.User).Position = block.HostEnd;
        if (block.Fixups != null)
        {
            _movable.TryAdd(block.Key with { Virtual = 0 }, block);
        }

        Cover(block, block.Key, block.GuestLength, block.SecondFrame, block.Lookahead);
    }

    /// <summary>Whether a frame holds translated code.</summary>
    public bool IsCode(ulong frame) => _frames.ContainsKey(frame);

    /// <summary>Block that contains a host code offset, or null.</summary>
    public Block? FindByHostOffset(int offset) => _kernel.Contains(offset) ? _kernel.Find(offset) : _user.Find(offset);

    public void Link(int exit, Block target, int entry)
    {
        List<BlockExit> exits = Of(target.Key.User).Exits;
        BlockExit record = exits[exit];
        if (record.LinkedTo != null || record.Owner.Dropped)
        {
            return;
        }

        _asm.PatchRelative(record.Patch, entry);
        record.LinkedTo = target;
        record.NextIncoming = target.Incoming;
        exits[exit] = record;
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
        for (int i = code.Covers.Count - 1; i >= 0; i--)
        {
            CoveredBytes cover = code.Covers[i];
            if (cover.Offset >= offset + length || offset >= cover.Offset + cover.Length)
            {
                continue;
            }

            if (cover.Of is Block block)
            {
                Drop(block);
                any = true;
            }
            else
            {
                Forget((BlockTemplate)cover.Of);
            }

            i = Math.Min(i, code.Covers.Count);
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

        for (int i = code.Covers.Count - 1; i >= 0; i--)
        {
            if (i < code.Covers.Count && code.Covers[i].Of is Block block && (block.Key.Virtual & ~0xFFFUL) == pageAddress)
            {
                Drop(block);
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
        List<BlockExit> exits = Of(block.Key.User).Exits;
        for (int exit = block.Incoming; exit >= 0;)
        {
            BlockExit record = exits[exit];
            int next = record.NextIncoming;
            _asm.PatchRelative(record.Patch, record.Cold);
            record.LinkedTo = null;
            record.NextIncoming = -1;
            exits[exit] = record;
            exit = next;
        }

        block.Incoming = -1;
        for (int exit = block.FirstExit; exit < block.FirstExit + block.ExitCount; exit++)
        {
            Unlink(exits, exit);
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
        BlockKey anywhere = block.Key with { Virtual = 0 };
        if (_movable.TryGetValue(anywhere, out Block? movable) && movable == block)
        {
            _movable.Remove(anywhere);
        }

        Uncover(block.Frame, block);
        if (block.SecondFrame != 0)
        {
            Uncover(block.SecondFrame, block);
        }
    }

    /// <summary>Forgets all code of a mode; of user code the templates stay. The caller must not return into it.</summary>
    public void Clear(bool user)
    {
        if (user)
        {
            foreach ((BlockKey anywhere, Block block) in _movable)
            {
                if (!_templates.ContainsKey(anywhere))
                {
                    Keep(anywhere, block);
                }
            }

            _movable.Clear();
        }

        foreach (ulong frame in _frames.Keys.ToArray())
        {
            CodeFrame code = _frames[frame];
            code.Covers.RemoveAll(cover => cover.Of is Block block && block.Key.User == user);
            RemoveIfEmpty(frame, code);
        }

        foreach (Block block in Of(user).Blocks)
        {
            _blocks.Remove(block.Key);
        }

        Of(user).Clear();
        Flushes++;
    }

    /// <summary>Forgets everything: the end.</summary>
    public void Clear()
    {
        Clear(user: false);
        Clear(user: true);
        ForgetTemplates();
    }

    private BlockTemplate Keep(BlockKey anywhere, Block block)
    {
        if (_templateBytes > MaxTemplateBytes)
        {
            ForgetTemplates();
        }

        BlockTemplate template = new(block, _user, _asm.AddressOf(block.HostStart));
        _templates.Add(anywhere, template);
        _templateBytes += template.Size;
        Cover(template, template.Key, template.GuestLength, template.SecondFrame, template.Lookahead);
        return template;
    }

    private void Forget(BlockTemplate template)
    {
        _templates.Remove(template.Key with { Virtual = 0 });
        _templateBytes -= template.Size;
        Uncover(template.Frame, template);
        if (template.SecondFrame != 0)
        {
            Uncover(template.SecondFrame, template);
        }
    }

    /// <summary>Forgets what user code could be copied from.</summary>
    public void ForgetTemplates()
    {
        foreach (BlockTemplate template in _templates.Values.ToArray())
        {
            Forget(template);
        }
    }

    private void Unlink(List<BlockExit> exits, int exit)
    {
        BlockExit record = exits[exit];
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
            for (int other = target.Incoming; other >= 0; other = exits[other].NextIncoming)
            {
                BlockExit previous = exits[other];
                if (previous.NextIncoming == exit)
                {
                    previous.NextIncoming = record.NextIncoming;
                    exits[other] = previous;
                    break;
                }
            }
        }

        record.LinkedTo = null;
        record.NextIncoming = -1;
        exits[exit] = record;
        _asm.PatchRelative(record.Patch, record.Cold);
    }

    private void Cover(object what, in BlockKey key, int guestLength, ulong secondFrame, (int Offset, int Length)[]? lookahead)
    {
        int offset = (int)(key.Physical & 0xFFF);
        int inFirst = Math.Min(guestLength, 4096 - offset);
        ulong frame = key.Physical >> 12;
        Add(frame, new CoveredBytes(what, offset, inFirst));
        foreach ((int start, int length) in lookahead ?? [])
        {
            Add(frame, new CoveredBytes(what, start, length));
        }

        if (inFirst < guestLength)
        {
            Add(secondFrame, new CoveredBytes(what, 0, guestLength - inFirst));
        }
    }

    private void Add(ulong frame, in CoveredBytes cover)
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

        code.Covers.Add(cover);
        code.Mark(cover.Offset, cover.Length);
    }

    private void Uncover(ulong frame, object what)
    {
        if (_frames.TryGetValue(frame, out CodeFrame? code))
        {
            code.Covers.RemoveAll(cover => cover.Of == what);
            RemoveIfEmpty(frame, code);
        }
    }

    private void RemoveIfEmpty(ulong frame, CodeFrame code)
    {
        if (code.Covers.Count == 0)
        {
            _frames.Remove(frame);
            if (frame < (ulong)_memory.CodeFrames.Length)
            {
                _memory.CodeFrames[frame] = 0;
            }
        }
    }

    /// <summary>Bytes of a frame that a block or a template was made from.</summary>
    private readonly record struct CoveredBytes(object Of, int Offset, int Length);

    /// <summary>What was made from one frame, and which of its bytes that covers (at least).</summary>
    private sealed class CodeFrame
    {
        private readonly ulong[] _covered = new ulong[4096 / 64];

        public List<CoveredBytes> Covers { get; } = [];

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
