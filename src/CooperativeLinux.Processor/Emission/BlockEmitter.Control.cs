using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Processor.Emission;

// Branches, calls and returns. Flags are in the host's flags at direct branches, and parked at indirect ones, returns among them: few
// places that those lead to need them.
internal sealed unsafe partial class BlockEmitter
{
    private static int ConditionNumber(in Instruction instruction) => instruction.ConditionCode switch
    {
        ConditionCode.o => 0,
        ConditionCode.no => 1,
        ConditionCode.b => 2,
        ConditionCode.ae => 3,
        ConditionCode.e => 4,
        ConditionCode.ne => 5,
        ConditionCode.be => 6,
        ConditionCode.a => 7,
        ConditionCode.s => 8,
        ConditionCode.ns => 9,
        ConditionCode.p => 10,
        ConditionCode.np => 11,
        ConditionCode.l => 12,
        ConditionCode.ge => 13,
        ConditionCode.le => 14,
        _ => 15,
    };

    // jmp or jcc rel32, at first to out-of-line code that asks for the link. Flags must not be parked.
    private void EmitExit(ulong target, int condition)
    {
        Unpark(Gpr.T0);
        int patch = condition < 0 ? _asm.Jump(0) : _asm.JumpIf(condition, 0);
        AddExit(target, patch);
    }

    private void AddExit(ulong target, int patch, BlockVariant variant = BlockVariant.Normal)
    {
        _region.Exits.Add(new BlockExit { Owner = _block, Target = target, Variant = variant, Patch = patch, NextIncoming = -1 });
        AddCold(ColdKind.Link, patch, site: _region.Exits.Count - 1);
    }

    // T0 := branch target of an indirect jump or call. Flags may be parked on the way.
    private void EmitIndirectTarget(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        if (instruction.Op0Kind == OpKind.Register)
        {
            LoadGuest(Gpr.T0, GuestNumber(instruction.Op0Register));
            return;
        }

        HostOperand operand = EmitOperand(ref decoded, 8, write: false);
        _asm.Memory(0x8B, Gpr.T0, operand.Base, operand.Index, 1, operand.Displacement, wide: true);
    }

    private void EmitJump(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        if (instruction.Op0Kind == OpKind.NearBranch64)
        {
            EmitExit(instruction.NearBranchTarget, -1);
            return;
        }

        EmitIndirectTarget(ref decoded);
        _deltaInT1 = NoDelta;
        Park();
        Stubs.EmitBranch(_asm);
    }

    // [rsp-8] := return address ; rsp -= 8 ; call target ; landing: T0 must be the return address ; jmp
    private void EmitCall(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        ulong returnAddress = instruction.NextIP;
        bool direct = instruction.Op0Kind == OpKind.NearBranch64;
        if (!direct)
        {
            EmitIndirectTarget(ref decoded);
            _asm.StoreState(StateLayout.CallTarget, Gpr.T0);
        }

        HostOperand slot = EmitStackSlot(ref decoded, -8, 8, write: true);
        int value = slot.Index == Gpr.T1 ? Gpr.T0 : Gpr.T1;
        EmitMoveAddress(value, returnAddress);
        _asm.Memory(0x89, value, slot.Base, slot.Index, 1, slot.Displacement, wide: true);
        FinishBounce(write: true);
        _asm.Lea(Gpr.GuestRsp, Gpr.GuestRsp, -8);
        if (direct)
        {
            Unpark(Gpr.T0);
            AddExit(instruction.NearBranchTarget, _asm.Call(0));
        }
        else
        {
            Park();
            _asm.LoadState(Gpr.T0, StateLayout.CallTarget);
            AddCold(ColdKind.Branch, _asm.Call(0));
        }

        (_block.Landings ??= []).Add(_asm.Position);
        EmitMoveAddress(Gpr.T1, returnAddress);
        _asm.RegisterForm(0x3B, Gpr.T0, Gpr.T1, wide: true);
        _asm.JumpIf(Condition.NotEqual, _stubs.ReturnMiss);
        _flagsParked = _lookahead.LiveAt(returnAddress) != 0;
        EmitExit(returnAddress, -1);
    }

    private void EmitReturn(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        HostOperand slot = EmitStackSlot(ref decoded, 0, 8, write: false);
        _asm.Memory(0x8B, Gpr.T0, slot.Base, slot.Index, 1, slot.Displacement, wide: true);
        int extra = instruction.OpCount > 0 ? instruction.Immediate16 : 0;
        _asm.Lea(Gpr.GuestRsp, Gpr.GuestRsp, 8 + extra);
        Park();
        _asm.Return();
    }

    // loop, loope, loopne, jrcxz, jecxz: flag-free with the host's own jrcxz.
    private void EmitLoop(in Instruction instruction)
    {
        Unpark(Gpr.T0);
        bool narrow = instruction.Code is Code.Loop_rel8_64_ECX or Code.Loope_rel8_64_ECX or Code.Loopne_rel8_64_ECX or Code.Jecxz_rel8_64;
        ulong target = instruction.NearBranchTarget;
        if (instruction.Mnemonic is Mnemonic.Jrcxz or Mnemonic.Jecxz)
        {
            int zero = ShortJumpIfCounterZero(narrow);
            EmitExit(instruction.NextIP, -1);
            PatchShort(zero);
            EmitExit(target, -1);
            return;
        }

        _asm.Memory(0x8D, Gpr.Rcx, Gpr.Rcx, -1, 1, -1, wide: !narrow);
        int done = ShortJumpIfCounterZero(narrow);
        int condition = instruction.Mnemonic switch
        {
            Mnemonic.Loope => Condition.Equal,
            Mnemonic.Loopne => Condition.NotEqual,
            _ => -1,
        };
        EmitExit(target, condition);
        PatchShort(done);
        EmitExit(instruction.NextIP, -1);
    }

    private int ShortJumpIfCounterZero(bool narrow)
    {
        if (narrow)
        {
            _asm.Byte(0x67);
        }

        _asm.Byte(0xE3);
        _asm.Byte(0);
        return _asm.Position;
    }

    private void PatchShort(int afterDisplacement)
    {
        int end = _asm.Position;
        _asm.Position = afterDisplacement - 1;
        _asm.Byte(end - afterDisplacement);
        _asm.Position = end;
    }
}
