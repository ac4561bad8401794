using CooperativeLinux.Processor.Analysis;
using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Emission;

// Accesses of blocks that run often: each site looks at a TLB entry of its own first.
internal sealed unsafe partial class BlockEmitter
{
    private const int NoEntry = -1;

    private int TakeEntry(ulong rip, bool write) =>
        _inline?.Take(_block, _block.Key.Physical + (rip - _block.Key.Virtual), write) ?? NoEntry;

    // T0 = guest address -> T0 = host address, or T1 = distance to it; flags are lost.
    //   mov t1,t0 ; sub t1,[page] ; cmp t1,4096-size ; ja cold ; add t0,[distance], or mov t1,[distance]
    private void EmitInlineLookup(ulong rip, int size, bool write, bool stackSegment, int entry, OperandForm form)
    {
        // SANDBOX: T0 is within [0, 4096-size] of the page that the entry maps. What fills an entry of this kind maps it with its right.
        int site = AddSite(rip, size, write, stack: false, stackSegment, entry: entry);
        _asm.MoveRegister(Gpr.T1, Gpr.T0);
        int patch = EmitInlineMatch(size, entry);
        if (form == OperandForm.Pointer)
        {
            _asm.AluState(Alu.Add, Gpr.T0, StateLayout.InlineDistance(entry));
        }
        else
        {
            _asm.LoadState(Gpr.T1, StateLayout.InlineDistance(entry));
        }

        _cold.Add(new ColdPath(ColdKind.Inline, patch, site, _asm.Position, -1, form == OperandForm.Pointer));
    }

    // T1 := distance from guest to host address, for base+low … base+high.
    //   lea t1,[base+low] ; sub t1,[page] ; cmp t1,4096-length ; ja cold ; mov t1,[distance] ; mov [slot],t1
    private void EmitInlineGroupCheck(in DecodedInstruction decoded, in BaseGroup group, int entry)
    {
        // SANDBOX: as above for all of the group, and base does not change in it.
        int length = group.High - group.Low;
        int site = AddSite(decoded.Instruction.IP, length, group.Write, stack: false, UsesStackSegment(decoded.Instruction), entry: entry);
        _region.Sites[site].IsGroup = true;
        EmitBaseAddress(Gpr.T1, group);
        int patch = EmitInlineMatch(length, entry);
        _asm.LoadState(Gpr.T1, StateLayout.InlineDistance(entry));
        _cold.Add(new ColdPath(ColdKind.InlineGroup, patch, site, _asm.Position, decoded.BaseGroup));
        if (group.Slot >= 0)
        {
            _asm.StoreState(StateLayout.BaseDelta(group.Slot), Gpr.T1);
        }
    }

    // T1 := T1 - the entry's page ; out of line if more than 4096-size. Returns the branch to patch.
    private int EmitInlineMatch(int size, int entry)
    {
        _asm.AluState(Alu.Sub, Gpr.T1, StateLayout.InlinePage(entry));
        _asm.AluImmediate(Alu.Cmp, Gpr.T1, 4096 - size);
        return _asm.JumpIf(Condition.Above, 0);
    }

    // T0 = guest address -> T1 = distance to the host address, by the stub that fills the entry.
    private void EmitInlineMiss(in ColdPath cold)
    {
        AccessSite site = _region.Sites[cold.Site];
        _asm.State(0x8D, Gpr.T1, StateLayout.InlinePage(site.Entry));
        StoreArgument(cold.Site, FixupKind.Site);
        _asm.Call(_stubs.InlineAccess(ArrayFor(site.Write), site.Size, site.IsGroup));
    }

    private void EmitInlineGroupMiss(in ColdPath cold)
    {
        EmitBaseAddress(Gpr.T0, _bases[cold.Number]);
        EmitInlineMiss(cold);
        EmitBackFromGroup(cold);
    }
}
