using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Processor.Emission;

// push, pop, leave, xlat and bit strings.
internal sealed unsafe partial class BlockEmitter
{
    private void EmitPush(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        int size = Math.Abs(instruction.StackPointerIncrement);
        bool immediate = false;
        int value = -1;
        if (instruction.Op0Kind == OpKind.Memory)
        {
            HostOperand source = EmitOperand(ref decoded, size, write: false);
            LoadSized(Gpr.T0, source, size);
            _asm.StoreState(StateLayout.CallTarget, Gpr.T0);
        }
        else if (instruction.Op0Kind == OpKind.Register)
        {
            int guest = GuestNumber(instruction.Op0Register);
            value = IsInMemory(guest) ? -2 - guest : HostOf(guest);
        }
        else
        {
            immediate = true;
        }

        HostOperand slot = EmitStackSlot(ref decoded, -size, size, write: true);
        int scratch = slot.Index == Gpr.T1 ? Gpr.T0 : Gpr.T1;
        if (immediate)
        {
            _asm.MoveImmediate(scratch, (ulong)(long)instruction.GetImmediate(0));
            value = scratch;
        }
        else if (value == -1)
        {
            _asm.LoadState(scratch, StateLayout.CallTarget);
            value = scratch;
        }
        else if (value < -1)
        {
            _asm.LoadState(scratch, StateLayout.Register(-2 - value));
            value = scratch;
        }

        StoreSized(slot, value, size);
        FinishBounce(write: true);
        _asm.Lea(Gpr.GuestRsp, Gpr.GuestRsp, -size);
    }

    private void EmitPop(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        int size = instruction.StackPointerIncrement;
        HostOperand slot = EmitStackSlot(ref decoded, 0, size, write: false);
        if (instruction.Op0Kind == OpKind.Memory)
        {
            LoadSized(Gpr.T0, slot, size);
            _asm.StoreState(StateLayout.CallTarget, Gpr.T0);
            HostOperand destination = EmitOperand(ref decoded, size, write: true);
            int scratch = destination.Index == Gpr.T1 ? Gpr.T0 : Gpr.T1;
            _asm.LoadState(scratch, StateLayout.CallTarget);
            StoreSized(destination, scratch, size);
            FinishBounce(write: true);
            if (scratch == Gpr.T1)
            {
                _deltaInT1 = NoDelta;
            }

            _asm.Lea(Gpr.GuestRsp, Gpr.GuestRsp, size);
            return;
        }

        int guest = GuestNumber(instruction.Op0Register);
        if (size == 8 && !IsInMemory(guest))
        {
            _asm.Memory(0x8B, HostOf(guest), slot.Base, slot.Index, 1, slot.Displacement, wide: true);
            if (guest != Gpr.Rsp)
            {
                _asm.Lea(Gpr.GuestRsp, Gpr.GuestRsp, size);
            }

            return;
        }

        LoadSized(Gpr.T0, slot, size);
        _asm.Lea(Gpr.GuestRsp, Gpr.GuestRsp, size);
        StoreGuest(guest, size, Gpr.T0);
    }

    // rsp := rbp ; pop rbp
    private void EmitLeave(ref DecodedInstruction decoded)
    {
        if (decoded.LiveFlags != 0 && !IsCareful)
        {
            Park();
        }

        _asm.MoveRegister(Gpr.T0, Gpr.Rbp);
        HostOperand slot = EmitPointer(decoded.Instruction, 8, write: false, stackSegment: true);
        _asm.Lea(Gpr.GuestRsp, Gpr.Rbp, 8);
        _asm.Memory(0x8B, Gpr.Rbp, slot.Base, slot.Index, 1, slot.Displacement, wide: true);
    }

    // al := [rbx + al]
    private void EmitTranslate(ref DecodedInstruction decoded)
    {
        if (decoded.LiveFlags != 0 && !IsCareful)
        {
            Park();
        }

        ref Instruction instruction = ref decoded.Instruction;
        bool narrow = instruction.MemoryBase == Register.EBX;
        _asm.RegisterForm(0x0FB6, Gpr.T0, Gpr.Rax, wide: false); // movzx r10d,al
        _asm.Memory(0x8D, Gpr.T0, Gpr.Rbx, Gpr.T0, 1, 0, wide: !narrow);
        if (instruction.SegmentPrefix is Register.FS or Register.GS)
        {
            _asm.LoadState(Gpr.T1, instruction.SegmentPrefix == Register.FS ? StateLayout.FsBase : StateLayout.GsBase);
            _asm.Memory(0x8D, Gpr.T0, Gpr.T0, Gpr.T1, 1, 0, wide: true);
        }

        HostOperand operand = EmitPointer(instruction, 1, write: false);
        _asm.Memory(0x8A, Gpr.Rax, operand.Base, operand.Index, 1, operand.Displacement, wide: false);
    }

    // bt/bts/btr/btc [mem], reg: the word that holds the bit, then the bit within it.
    private void EmitBitString(ref DecodedInstruction decoded)
    {
        ref Instruction instruction = ref decoded.Instruction;
        Register offsetRegister = instruction.Op1Register;
        int size = offsetRegister.GetSize();
        int guest = GuestNumber(offsetRegister);
        if (decoded.LiveFlags != 0 && !IsCareful)
        {
            Park();
        }

        // The bit offset is part of the effective address, which a 32-bit address size cuts before the segment's base is added.
        decoded.StackOperand = false;
        Instruction plain = instruction;
        plain.SegmentPrefix = Register.None;
        EmitAddress(plain);
        _deltaInT1 = NoDelta;
        LoadBitOffset(guest, size);
        if (IsCareful)
        {
            Park(-1);
        }

        // Arithmetic shift by log2(bits), then scaled by the operand size: the address of the word.
        _asm.Shift(7, Gpr.T1, size switch { 2 => 4, 4 => 5, _ => 6 }, wide: true);
        _asm.Memory(0x8D, Gpr.T0, Gpr.T0, Gpr.T1, size, 0, wide: true);
        if (IsNarrowAddress(instruction))
        {
            _asm.MoveRegister32(Gpr.T0, Gpr.T0);
        }

        if (instruction.SegmentPrefix is Register.FS or Register.GS)
        {
            _asm.LoadState(Gpr.T1, instruction.SegmentPrefix == Register.FS ? StateLayout.FsBase : StateLayout.GsBase);
            _asm.Memory(0x8D, Gpr.T0, Gpr.T0, Gpr.T1, 1, 0, wide: true);
        }

        bool write = instruction.Mnemonic != Mnemonic.Bt;
        HostOperand operand = EmitPointer(instruction, size, write, UsesStackSegment(instruction));
        LoadBitOffset(guest, size);
        _asm.AluImmediate(Alu.And, Gpr.T1, (size * 8) - 1, wide: false);
        if (decoded.LiveFlags != 0 || IsCareful)
        {
            Unpark(-1);
        }

        RecordFaultPoint(_asm.Position, instruction);
        if (instruction.HasLockPrefix)
        {
            _asm.Byte(0xF0);
        }

        if (size == 2)
        {
            _asm.Byte(0x66);
        }

        int opcode = instruction.Mnemonic switch { Mnemonic.Bt => 0xA3, Mnemonic.Bts => 0xAB, Mnemonic.Btr => 0xB3, _ => 0xBB };
        _asm.Memory(0x0F00 | opcode, Gpr.T1, operand.Base, operand.Index, 1, operand.Displacement, wide: size == 8);
        FinishBounce(write);
    }

    // T1 := sign-extended bit offset; flags are kept.
    private void LoadBitOffset(int guest, int size)
    {
        LoadGuest(Gpr.T1, guest);
        if (size == 4)
        {
            _asm.RegisterForm(0x63, Gpr.T1, Gpr.T1, wide: true);
        }
        else if (size == 2)
        {
            _asm.RegisterForm(0x0FBF, Gpr.T1, Gpr.T1, wide: true);
        }
    }

    private void StoreSized(HostOperand operand, int register, int size)
    {
        if (size == 2)
        {
            _asm.Byte(0x66);
        }

        _asm.Memory(0x89, register, operand.Base, operand.Index, 1, operand.Displacement, wide: size == 8);
    }

    private void LoadSized(int register, HostOperand operand, int size)
    {
        if (size == 2)
        {
            _asm.Memory(0x0FB7, register, operand.Base, operand.Index, 1, operand.Displacement, wide: false);
            return;
        }

        _asm.Memory(0x8B, register, operand.Base, operand.Index, 1, operand.Displacement, wide: size == 8);
    }
}
