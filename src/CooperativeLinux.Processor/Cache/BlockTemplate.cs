using System.Runtime.CompilerServices;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;
using Assembler = CooperativeLinux.Processor.Emission.Assembler;

namespace CooperativeLinux.Processor.Cache;

/// <summary>
/// A user block without a place: made into a block again wherever a process maps the same bytes. Address-space randomisation
/// puts programs somewhere else each time they are started, and copying a block costs a fraction of translating it.
/// </summary>
internal sealed unsafe class BlockTemplate
{
    /// <summary>
    /// Lowest guest address of blocks that can be moved. Addresses are constants of 64 bits in such blocks; from
    /// here on every address in reach of a rip-relative operand needs them.
    /// </summary>
    public const ulong LowestAddress = 0x2_0000_0000;

    private readonly Block _original;
    private readonly byte[] _code;
    private readonly BlockExit[] _exits;
    private readonly AccessSite[] _sites;
    private readonly FaultPoint[] _faultPoints;
    private readonly (Instruction Instruction, Block Owner)[] _instructions;

    /// <param name="block">A block with fixups, not dropped.</param>
    /// <param name="region">Its region.</param>
    /// <param name="code">Its first host byte.</param>
    public BlockTemplate(Block block, CodeRegion region, byte* code)
    {
        _original = block;
        _code = new Span<byte>(code, block.HostEnd - block.HostStart).ToArray();
        _exits = region.Exits.Copy(block.FirstExit, block.ExitCount);
        _sites = region.Sites.Copy(block.FirstSite, block.SiteCount);
        _faultPoints = region.FaultPoints.Copy(block.FirstFaultPoint, block.FaultPointCount);
        _instructions = region.Instructions.Copy(block.FirstInstruction, block.InstructionCount);
        for (int i = 0; i < _exits.Length; i++)
        {
            // As if it had never been linked.
            int patch = _exits[i].Patch - block.HostStart;
            Unsafe.WriteUnaligned(ref _code[patch], _exits[i].Cold - _exits[i].Patch - sizeof(int));
            _exits[i].LinkedTo = null;
            _exits[i].NextIncoming = -1;
        }
    }

    public int Size => _code.Length;

    public int GuestLength => _original.GuestLength;

    public ulong Frame => _original.Frame;

    /// <summary>Second physical page of a crossing instruction, 0 if none.</summary>
    public ulong SecondFrame => _original.SecondFrame;

    public BlockKey Key => _original.Key;

    public (int Offset, int Length)[]? Lookahead => _original.Lookahead;

    /// <summary>Makes a block at the assembler's position. The caller adds it to the cache.</summary>
    /// <param name="key">As the original's, but for the virtual address.</param>
    /// <param name="pageId">Id of the block's page.</param>
    /// <param name="region">Where the block's exits and so on go.</param>
    /// <param name="asm">The assembler.</param>
    public Block Place(in BlockKey key, uint pageId, CodeRegion region, Assembler asm)
    {
        int start = asm.Position;
        int moved = start - _original.HostStart;
        ulong shift = key.Virtual - _original.Key.Virtual;
        Block block = new()
        {
            Key = key,
            GuestLength = _original.GuestLength,
            SecondFrame = _original.SecondFrame,
            Lookahead = _original.Lookahead,
            HostStart = start,
            HostEnd = start + _code.Length,
            Entry = _original.Entry + moved,
            Body = _original.Body + moved,
            CheckedEntry = _original.CheckedEntry + moved,
            IndirectEntry = _original.IndirectEntry + moved,
            FirstExit = region.Exits.Count,
            ExitCount = _exits.Length,
            FirstSite = region.Sites.Count,
            SiteCount = _sites.Length,
            FirstFaultPoint = region.FaultPoints.Count,
            FaultPointCount = _faultPoints.Length,
            FirstInstruction = region.Instructions.Count,
            InstructionCount = _instructions.Length,
            Landings = _original.Landings?.ConvertAll(landing => landing + moved),
            Fixups = _original.Fixups,
        };
        asm.Bytes(_code);
        foreach (Fixup fixup in _original.Fixups!)
        {
            int at = start + fixup.Offset;
            switch (fixup.Kind)
            {
                case FixupKind.Outside:
                    asm.Add32(at, -moved);
                    break;
                case FixupKind.Address:
                    asm.Add64(at, shift);
                    break;
                case FixupKind.PageSlot:
                    asm.Set32(at, TlbContext.PageSlot(pageId) * sizeof(uint));
                    break;
                case FixupKind.PageId:
                    asm.Set32(at, (int)pageId);
                    break;
                case FixupKind.NegatedPageId:
                    asm.Set32(at, -(int)pageId);
                    break;
                case FixupKind.Exit:
                    asm.Add32(at, block.FirstExit - _original.FirstExit);
                    break;
                case FixupKind.Site:
                    asm.Add32(at, block.FirstSite - _original.FirstSite);
                    break;
                case FixupKind.Instruction:
                    asm.Add32(at, block.FirstInstruction - _original.FirstInstruction);
                    break;
            }
        }

        foreach (BlockExit exit in _exits)
        {
            region.Exits.Add(exit with { Target = exit.Target + shift, Owner = block });
        }

        foreach (AccessSite site in _sites)
        {
            region.Sites.Add(site with { Rip = site.Rip + shift, Owner = block });
        }

        foreach (FaultPoint point in _faultPoints)
        {
            region.FaultPoints.Add(point with { HostOffset = point.HostOffset + moved });
        }

        foreach ((Instruction instruction, _) in _instructions)
        {
            region.Instructions.Add((Shift(instruction, shift), block));
        }

        return block;
    }

    private static Instruction Shift(Instruction instruction, ulong shift)
    {
        instruction.IP += shift;
        if (instruction.IsIPRelativeMemoryOperand)
        {
            instruction.MemoryDisplacement64 += shift;
        }

        if (instruction.Op0Kind == OpKind.NearBranch64)
        {
            instruction.NearBranch64 += shift;
        }

        return instruction;
    }
}
