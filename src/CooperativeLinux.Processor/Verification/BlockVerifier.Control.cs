using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

// Branches, calls, returns, stubs and links.
internal sealed partial class BlockVerifier
{
    private const int MaxVector = 31;

    // More do not fit in the bounce buffer at every alignment.
    private const int MaxOperandBytes = 128;

    private const int MaxAccessBytes = 512;

    private int StepControl(int index, in Instruction instruction, ref AbstractState state)
    {
        if (state.Parked != 0)
        {
            return FailPath(index, "branch while a register is parked");
        }

        // jrcxz tests what the head computed; behind every other branch rcx is the guest's.
        if (state.Rcx.IsHost && instruction.Code != Code.Jrcxz_rel8_64)
        {
            return FailPath(index, "branch with a host value in rcx");
        }

        // Exact lengths: prefixes change what some processors make of a branch.
        switch (instruction.Code, instruction.Length)
        {
            case (Code.Jmp_rel32_64, 5) or (Code.Jmp_rel8_64, 2):
                return StepJump(index, instruction, ref state);
            case (Code.Call_rel32_64, 5):
                return StepCall(index, instruction, ref state);
            case (Code.Retnq, 1):
                return StepReturn(index, state);
            case (Code.Jmp_rm64, 4):
                return StepIndirect(index, instruction, state);
            case (Code.Jrcxz_rel8_64, 2) or (Code.Jecxz_rel8_64, 3):
                return StepConditional(index, instruction, ref state);
            default:
                return instruction.IsJccShortOrNear && instruction.Length == (instruction.IsJccNear ? 6 : 2)
                    ? StepConditional(index, instruction, ref state)
                    : FailPath(index, "branch of a denied form");
        }
    }

    private int StepConditional(int index, in Instruction instruction, ref AbstractState state)
    {
        AbstractState taken = state;
        if (instruction.Code == Code.Jrcxz_rel8_64)
        {
            RefineZero(ref taken, ref state);
        }
        else
        {
            Refine(instruction.ConditionCode, ref taken, ref state);
        }

        int exit = _instructions[index].Exit;
        int target;
        if (exit != NoExit)
        {
            if (!CanLeave(index, taken))
            {
                return NotAnInstruction;
            }

            target = IndexOf(_region.Exits[exit].Cold);
        }
        else if (OffsetOf(instruction.NearBranchTarget) is int miss && (miss == _stubs.BranchMiss || miss == _stubs.ReturnMiss))
        {
            LeaveToStub(index, miss, taken);
            return index + 1;
        }
        else if (!TryIndexOf(OffsetOf(instruction.NearBranchTarget), out target))
        {
            return FailPath(index, "conditional branch out of the block");
        }

        // The taken side first: out-of-line code comes back to the main line before that is walked.
        if (index + 1 < _count)
        {
            _pending.Push((index + 1, state));
        }
        else
        {
            Fail(index, "execution runs over the block's end");
        }

        state = taken;
        return target;
    }

    // What a branch on a check proves.
    private static void Refine(ConditionCode condition, ref AbstractState taken, ref AbstractState next)
    {
        FlagFact fact = next.Flags;
        int bound = next.FlagBound;
        taken.Flags = FlagFact.None;
        next.Flags = FlagFact.None;
        switch (fact, condition)
        {
            case (FlagFact.Bound, ConditionCode.a):
                RefineBound(bound, ref next);
                break;
            case (FlagFact.Bound, ConditionCode.be):
                RefineBound(bound, ref taken);
                break;
            case (FlagFact.InlineBound, ConditionCode.a):
                RefineInline(bound, ref next);
                break;
            case (FlagFact.Limit, ConditionCode.b):
                next.Polled = true;
                next.HasRoom = true;
                break;
            case (FlagFact.Limit, ConditionCode.ae):
                taken.Polled = true;
                taken.HasRoom = true;
                break;
            case (FlagFact.PageId or FlagFact.BranchTarget, ConditionCode.ne):
                next.Admitted = true;
                break;
            case (FlagFact.PageId or FlagFact.BranchTarget, ConditionCode.e):
                taken.Admitted = true;
                break;
        }
    }

    // What jrcxz proves: rcx is zero where it is taken.
    private static void RefineZero(ref AbstractState taken, ref AbstractState next)
    {
        switch (next.Rcx.Kind)
        {
            case ValueKind.PageIdDifference:
                taken.Admitted = true;
                break;
            case ValueKind.PageDistances when next.Rcx.High - next.Rcx.Low is >= 0 and < PageBytes:
                // Both ends lie in the window's page, and so does what is between them.
                taken.StackLow = next.Rcx.Low;
                taken.StackHigh = next.Rcx.High + 1;
                break;
            case ValueKind.PollClear:
                next.Polled = true;
                break;
            case ValueKind.DepthDifference:
                next.HasRoom = true;
                break;
        }
    }

    // The offset in T0 is at most the bound: what lies from there to the page's end is accessible.
    private static void RefineBound(int bound, ref AbstractState state)
    {
        if (bound is < 0 or >= PageBytes)
        {
            return;
        }

        int length = PageBytes - bound;
        if (state.T0.Kind == ValueKind.PageOffset)
        {
            state.T0 = state.T0 with { Kind = ValueKind.CheckedOffset, High = length };
        }
        else
        {
            state.StackLow = state.T0.Low;
            state.StackHigh = state.T0.Low + length;
        }
    }

    private static void RefineInline(int bound, ref AbstractState state)
    {
        if (bound is >= 0 and < PageBytes && state.T1.Kind == ValueKind.InlineOffset)
        {
            state.T1 = state.T1 with { Kind = ValueKind.InlineChecked, High = PageBytes - bound };
        }
    }

    private int StepJump(int index, in Instruction instruction, ref AbstractState state)
    {
        int exit = _instructions[index].Exit;
        if (exit != NoExit)
        {
            return CanLeave(index, state) ? IndexOf(_region.Exits[exit].Cold) : NotAnInstruction;
        }

        int offset = OffsetOf(instruction.NearBranchTarget);
        if (TryIndexOf(offset, out int target))
        {
            Defer(target, state);
            return NotAnInstruction;
        }

        return LeaveToStub(index, offset, state);
    }

    private static bool IsThroughHead(in AbstractState state) => state.Admitted && state.Polled;

    // jmp [t0+t1*8], where T0 is the branch table and T1 an index. A call comes here with the landing's address pushed.
    private int StepIndirect(int index, in Instruction instruction, in AbstractState state)
    {
        bool isEntry = instruction.MemoryBase == Register.R10 && instruction.MemoryIndex == Register.R11 && instruction.MemoryIndexScale == sizeof(ulong)
            && instruction.MemoryDisplacement64 == 0 && instruction.SegmentPrefix == Register.None;
        if (!isEntry || state.T0.Kind != ValueKind.BranchTable || state.T1.Kind != ValueKind.Bounded || state.T1.High >= BranchTable.Entries)
        {
            Fail(index, "indirect branch that does not go through the branch table");
        }
        else if (!state.HasTarget || !IsThroughHead(state) || state.Depth > 1)
        {
            Fail(index, "indirect branch without a target, or before the head's checks");
        }

        return NotAnInstruction;
    }

    // Leaving to another block.
    private bool CanLeave(int index, in AbstractState state)
    {
        if (!IsThroughHead(state))
        {
            return Fail(index, "the block is left before the head's checks");
        }

        return state.Depth == 0 || Fail(index, "the block is left with a host return address of its own");
    }

    private int LeaveToStub(int index, int offset, in AbstractState state)
    {
        if (offset == _stubs.Dispatch || offset == _stubs.ReturnMiss)
        {
            if (CanLeave(index, state) && state.T0.IsHost)
            {
                Fail(index, "T0 holds no guest address");
            }

            return NotAnInstruction;
        }

        if (offset == _stubs.Callback(CallbackKind.Link))
        {
            // A call's exit comes here with the landing's address pushed.
            if (state.Depth > 1 || !IsThroughHead(state))
            {
                Fail(index, "the block is left before the head's checks");
            }
            else if (state.Argument < _block.FirstExit || state.Argument >= _block.FirstExit + _block.ExitCount)
            {
                Fail(index, "argument is not an exit of this block");
            }

            return NotAnInstruction;
        }

        if (state.Depth != 0)
        {
            return FailPath(index, "the block is left with a host return address of its own");
        }

        if (offset == _stubs.BranchMiss || offset == _stubs.Callback(CallbackKind.Poll) || offset == _stubs.Callback(CallbackKind.PageCheck))
        {
            return NotAnInstruction;
        }

        if (!IsThroughHead(state))
        {
            return FailPath(index, "the block is left before the head's checks");
        }

        if (offset == _stubs.Callback(CallbackKind.Syscall))
        {
            return NotAnInstruction;
        }

        if (offset == _stubs.Callback(CallbackKind.Environment))
        {
            return IsOwnInstruction(state) ? NotAnInstruction : FailPath(index, "argument is not an instruction of this block");
        }

        if (offset == _stubs.Callback(CallbackKind.Raise))
        {
            return state.Argument is >= 0 and <= MaxVector ? NotAnInstruction : FailPath(index, "argument is not a vector");
        }

        return FailPath(index, "jump to a place that is not allowed");
    }

    private int StepCall(int index, in Instruction instruction, ref AbstractState state)
    {
        if (state.Depth != 0)
        {
            return FailPath(index, "host calls do not nest");
        }

        if (!IsThroughHead(state))
        {
            return FailPath(index, "call before the head's checks");
        }

        if (index + 1 == _count)
        {
            return FailPath(index, "no code behind a call");
        }

        // A guest's call goes to another block, to out-of-line code that finds it, or to the stub that does.
        int offset = OffsetOf(instruction.NearBranchTarget);
        int exit = _instructions[index].Exit;
        int target = exit != NoExit ? IndexOf(_region.Exits[exit].Cold) : IndexOf(offset);
        if (target == NotAnInstruction && offset != _stubs.Dispatch)
        {
            return CallStub(index, offset, ref state) ? index + 1 : NotAnInstruction;
        }

        if (!state.HasRoom)
        {
            return FailPath(index, "guest call without a check for room");
        }

        if (!IsLanding(OffsetAt(index + 1)))
        {
            return FailPath(index, "the return address is not a landing of the block");
        }

        if (target == NotAnInstruction)
        {
            if (state.T0.IsHost)
            {
                return FailPath(index, "T0 holds no guest address");
            }

            state = AbstractState.Landing;
            return index + 1;
        }

        _pending.Push((index + 1, AbstractState.Landing));
        state.Depth = 1;
        return target;
    }

    private int StepReturn(int index, in AbstractState state)
    {
        if (CanLeave(index, state) && state.T0.IsHost)
        {
            Fail(index, "T0 holds no guest address");
        }

        return NotAnInstruction;
    }

    // ---- Exits: branches that are patched when their target is known

    private bool MarkExits()
    {
        bool all = true;
        for (int exit = _block.FirstExit; exit < _block.FirstExit + _block.ExitCount; exit++)
        {
            string? wrong = MarkExit(exit, _region.Exits[exit]);
            if (wrong != null)
            {
                _violations.Add(new Violation(_region.Exits[exit].Patch, $"exit {exit}", wrong));
                all = false;
            }
        }

        return all;
    }

    private string? MarkExit(int number, in BlockExit exit)
    {
        // The displacement is the branch's last part, so the branch ends four bytes on.
        int end = exit.Patch + sizeof(int);
        int index = -1;
        if (TryIndexOf(end, out int next))
        {
            index = next - 1;
        }
        else if (end == _block.HostEnd)
        {
            index = _count - 1;
        }

        if (exit.Owner != _block || index < 0)
        {
            return "the exit's branch is not in the block";
        }

        ref HostInstruction host = ref _instructions[index];
        bool isNear = host.Instruction.Code is Code.Jmp_rel32_64 or Code.Call_rel32_64 || host.Instruction.IsJccNear;
        if (!isNear || OffsetAt(index) + host.Instruction.Length != end)
        {
            return "the exit's branch cannot be patched";
        }

        if (!TryIndexOf(exit.Cold, out int cold))
        {
            return "the exit's out-of-line code is not in the block";
        }

        Instruction first = _instructions[cold].Instruction;
        if (first.Code != Code.Mov_rm32_imm32 || !IsField(first, FieldUse.Argument, out _) || first.Immediate32 != (uint)number)
        {
            return "the exit's out-of-line code asks for another link";
        }

        int target = OffsetOf(host.Instruction.NearBranchTarget);
        string? wrong = exit.LinkedTo == null
            ? target == exit.Cold ? null : "the branch does not lead to its out-of-line code"
            : CheckLink(exit, target);
        host.Exit = number;
        MarkLabel(cold);
        return wrong;
    }

    private string? CheckLink(in BlockExit exit, int target)
    {
        Block to = exit.LinkedTo!;
        bool samePage = ((exit.Target ^ _block.Key.Virtual) & ~0xFFFUL) == 0;
        if (to.Dropped)
        {
            return "linked to a dropped block";
        }

        if (to.Key.Virtual != exit.Target || to.Key.User != IsUser)
        {
            return "linked to a block for another address or mode";
        }

        if (exit.Variant != BlockVariant.Normal && to.Key.Variant != exit.Variant)
        {
            return "linked to a block of another variant";
        }

        if (to.Key.Variant == BlockVariant.Careful || _block.Key.Variant == BlockVariant.Careful)
        {
            return "careful blocks are not linked";
        }

        if (samePage && to.Frame != _block.Frame)
        {
            return "linked to a block of another mapping of the page";
        }

        if (!samePage && !IsUser && !Mmu.IsKernelHalf(exit.Target))
        {
            return "linked to a page whose mapping is not checked";
        }

        bool entered = (IsUser && target == to.CheckedEntry) || (target == to.Entry && (samePage || !IsUser));
        return entered ? null : "linked to no entry of the block";
    }

    // ---- Landings: where guest returns arrive; dropping the block overwrites them

    private bool IsLanding(int offset) => _block.Landings != null && _block.Landings.Contains(offset);

    private void CheckLandings()
    {
        foreach (int landing in _block.Landings ?? [])
        {
            const int PatchLength = 5;
            if (!TryIndexOf(landing, out int index) || landing + PatchLength > _block.HostEnd || index == 0
                || _instructions[index - 1].Instruction.Code != Code.Call_rel32_64)
            {
                _violations.Add(new Violation(landing, string.Empty, "landing without a call"));
            }
        }
    }

    // ---- Loops: each must pass the head, where it polls; else the block could not be interrupted

    private void CheckLoops()
    {
        _path.Clear();
        _path.Push(IndexOf(_block.Entry));
        _path.Push(IndexOf(_block.IndirectEntry));
        _path.Push(IndexOf(_block.CheckedEntry));
        while (_path.TryPop(out int label))
        {
            // A label is pushed again, negated, below what follows from it: it is open until that is done.
            if (label < 0)
            {
                _instructions[~label].Mark = LabelMark.Closed;
                continue;
            }

            ref HostInstruction host = ref _instructions[label];
            if (host.Mark == LabelMark.New)
            {
                host.Mark = LabelMark.Open;
                _path.Push(~label);
                PushSuccessors(label);
            }
            else if (host.Mark == LabelMark.Open)
            {
                Fail(label, "loop that does not poll");
                return;
            }
        }
    }

    private void PushSuccessors(int label)
    {
        for (int index = label; index < _count;)
        {
            ref Instruction instruction = ref _instructions[index].Instruction;
            if (instruction.FlowControl != FlowControl.Next)
            {
                if (instruction.Op0Kind == OpKind.NearBranch64 && TryIndexOf(OffsetOf(instruction.NearBranchTarget), out int target) && !IsHead(target))
                {
                    _path.Push(target);
                }

                if (instruction.FlowControl is not (FlowControl.ConditionalBranch or FlowControl.Call))
                {
                    return;
                }
            }

            index++;
            if (index < _count && _instructions[index].IsLabel)
            {
                _path.Push(index);
                return;
            }
        }
    }

    private bool IsHead(int index) => index == IndexOf(_block.Entry) || index == IndexOf(_block.IndirectEntry) || index == IndexOf(_block.CheckedEntry);
}
