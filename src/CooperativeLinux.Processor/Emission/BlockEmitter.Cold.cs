using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Processor.Emission;

// Out-of-line code: what a check or a branch leads to when the usual case does not hold.
internal sealed unsafe partial class BlockEmitter
{
    private enum ColdKind
    {
        Access,
        Inline,
        Group,
        InlineGroup,
        StackWindow,
        StackWindowKeepingFlags,
        Link,
        Branch,
        Poll,
        PageCheck,
    }

    private void EmitColdPaths()
    {
        // Some add one: the list grows.
        for (int i = 0; i < _cold.Count; i++)
        {
            ColdPath cold = _cold[i];
            int start = _asm.Position;
            _asm.PatchRelative(cold.Patch, start);
            switch (cold.Kind)
            {
                case ColdKind.Access:
                    // T1 still points to the entry whose page address was subtracted from T0.
                    _asm.Memory(0x03, Gpr.T0, Gpr.T1, -1, 1, 0, wide: true);
                    StoreArgument(cold.Site, FixupKind.Site);
                    AccessSite site = _region.Sites[cold.Site];
                    _asm.Call(_stubs.Access(ArrayFor(site.Write), site.Size, group: false));
                    EmitBackFromAccess(cold);
                    break;
                case ColdKind.Inline:
                    EmitInlineMiss(cold);
                    EmitBackFromAccess(cold);
                    break;
                case ColdKind.Group:
                    EmitGroupMiss(cold);
                    break;
                case ColdKind.InlineGroup:
                    EmitInlineGroupMiss(cold);
                    break;
                case ColdKind.StackWindow:
                    EmitStackMiss(cold.Site);
                    _asm.Jump(cold.Resume);
                    EmitPlainExit(_region.Sites[cold.Site]);
                    break;
                case ColdKind.StackWindowKeepingFlags:
                    _asm.ParkFlags();
                    _asm.Lea(Gpr.T0, Gpr.GuestRsp, cold.Number);
                    _asm.AluState(Alu.Add, Gpr.T0, StackNegative);
                    EmitStackMiss(cold.Site);
                    int moved = _asm.Jump(0);
                    EmitPlainExit(_region.Sites[cold.Site]);
                    _asm.PatchRelative(moved, _asm.Position);
                    _asm.UnparkFlags();
                    _asm.Jump(cold.Resume);
                    break;
                case ColdKind.Branch:
                    Stubs.EmitBranch(_asm);
                    break;
                case ColdKind.Link:
                    StoreArgument(cold.Site, FixupKind.Exit);
                    _asm.Jump(_stubs.Callback(CallbackKind.Link));
                    _region.Exits[cold.Site].Cold = start;
                    break;
                default:
                    EmitMoveAddress(Gpr.T0, _block.Key.Virtual);
                    _asm.StoreState(StateLayout.Rip, Gpr.T0);
                    _asm.Jump(_stubs.Callback(cold.Kind == ColdKind.Poll ? CallbackKind.Poll : CallbackKind.PageCheck));
                    break;
            }
        }
    }

    private void EmitStackMiss(int site)
    {
        StoreArgument(site, FixupKind.Site);
        _asm.MoveImmediate(Gpr.T1, (uint)(4096 - _region.Sites[site].Size));
        _asm.Call(_stubs.StackWindow(IsUser));
    }

    // T1 is the distance from the guest address in T0. Behind a jump is the way on with a copy.
    private void EmitBackFromAccess(in ColdPath cold)
    {
        if (cold.Number >= 0)
        {
            int plain = _asm.Jump(cold.Resume);
            EmitHostAddress();
            EmitBounced(_bounced[cold.Number]);
            if (!cold.WantsPointer)
            {
                return;
            }

            _asm.PatchRelative(plain, _asm.Position);
        }

        if (cold.WantsPointer)
        {
            EmitHostAddress();
        }

        _asm.Jump(cold.Resume);
    }

    private void EmitHostAddress() => _asm.Memory(0x8D, Gpr.T0, Gpr.T0, Gpr.T1, 1, 0, wide: true);

    // T1 points to the entry whose page address was subtracted from T0.
    //   add t0,[t1] ; call stub ; jmp resume ; plain: ...
    private void EmitGroupMiss(in ColdPath cold)
    {
        AccessSite site = _region.Sites[cold.Site];
        _asm.Memory(0x03, Gpr.T0, Gpr.T1, -1, 1, 0, wide: true);
        StoreArgument(cold.Site, FixupKind.Site);
        _asm.Call(_stubs.Access(ArrayFor(site.Write), site.Size, group: true));
        EmitBackFromGroup(cold);
    }

    private void EmitBackFromGroup(in ColdPath cold)
    {
        _asm.Jump(cold.Resume);
        EmitPlainExit(_region.Sites[cold.Site]);
    }

    // What the block wants to access together does not lie in one page: the same instruction goes on in a block that looks at each
    // access by itself.
    private void EmitPlainExit(in AccessSite site)
    {
        _flagsParked = site.FlagsParked;
        Unpark(Gpr.T0);
        AddExit(site.Rip, _asm.Jump(0), BlockVariant.NoStackWindow);
    }

    /// <param name="WantsPointer">The operand's host address is wanted in T0.</param>
    private readonly record struct ColdPath(ColdKind Kind, int Patch, int Site, int Resume, int Number, bool WantsPointer = false);
}
