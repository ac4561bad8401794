using CooperativeLinux.Processor.Cache;
using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

// Memory operands of instructions outside the patterns.
internal sealed unsafe partial class BlockVerifier
{
    private bool IsConfined(int index, in Instruction instruction, in InstructionRule rule, bool write, in AbstractState state)
    {
        int size = instruction.MemorySize.GetSize();
        if (size <= 0)
        {
            return Fail(index, "memory operand of unknown size");
        }

        if (instruction.SegmentPrefix != Register.None)
        {
            return Fail(index, "segment prefix");
        }

        if (instruction.MemoryBase == Register.RIP && instruction.MemoryIndex == Register.None)
        {
            return IsFieldAccess(index, instruction, rule, size, write);
        }

        if (!TryPointer(instruction, state, out Value pointer))
        {
            return Fail(index, "memory operand that is not confined");
        }

        if (pointer.Low > 0 || size > pointer.High)
        {
            return Fail(index, $"access of {size} bytes outside of what was checked");
        }

        if (write && !pointer.Write)
        {
            return Fail(index, "write through an address that was checked for reading");
        }

        if (!state.Admitted || !state.Polled)
        {
            return Fail(index, "access to guest memory before the head's checks");
        }

        if (state.Parked != 0 && !HasFaultPoint(instruction, state.Parked))
        {
            return Fail(index, "a fault here would leave a host address in a guest register");
        }

        return !rule.IsBitString || IsBoundedBit(index, instruction, size, state);
    }

    // The accessible bytes around a memory operand:
    //   [t0+disp]       T0 a host address
    //   [t0+t1+disp]    T1 the delta of the address in T0
    //   [rsp+t1+disp]   T1 the stack window's delta, and the window checked
    //   [base+t1+disp]  T1 the delta of a base group, checked off that base
    //   [parked+disp]   a copy of one of these
    private static bool TryPointer(in Instruction instruction, in AbstractState state, out Value pointer)
    {
        pointer = default;
        if (!TryDistance(instruction, out int displacement) || instruction.SegmentPrefix != Register.None)
        {
            return false;
        }

        Register index = instruction.MemoryIndex;
        switch (instruction.MemoryBase)
        {
            case Register.R10 when index == Register.None && state.T0.Kind == ValueKind.Pointer:
                pointer = state.T0;
                break;
            case Register.R10 when index == Register.R11 && instruction.MemoryIndexScale == 1 && state.T1.Kind == ValueKind.AddressDelta:
                pointer = new Value(ValueKind.Pointer, 0, state.T1.High, state.T1.Write);
                break;
            case Register.R9 when index == Register.R11 && instruction.MemoryIndexScale == 1 && state.T1.Kind == ValueKind.StackDelta && state.StackLow < state.StackHigh:
                pointer = new Value(ValueKind.Pointer, state.StackLow, state.StackHigh, Write: true);
                break;
            case not Register.None when index == Register.R11 && instruction.MemoryIndexScale == 1 && state.T1.OffBase is { Kind: ValueKind.BaseDelta } delta
                && VerifiedRegisters.Number(instruction.MemoryBase) + 1 == delta.Base && VerifiedRegisters.Size(instruction.MemoryBase) == sizeof(ulong) && state.IsBase(VerifiedRegisters.Number(instruction.MemoryBase)):
                pointer = new Value(ValueKind.Pointer, delta.Low, delta.High, delta.Write);
                break;
            case Register.RBP or Register.RSI or Register.RDI when index == Register.None && VerifiedRegisters.Number(instruction.MemoryBase) == state.Parked:
                pointer = state.ParkedValue;
                break;
            default:
                return false;
        }

        pointer = pointer with { Low = pointer.Low - displacement, High = pointer.High - displacement };
        return true;
    }

    private StateField FieldOf(in Instruction instruction)
    {
        if (!HasMemoryOperand(instruction) || instruction.MemoryBase != Register.RIP || instruction.MemoryIndex != Register.None || instruction.SegmentPrefix != Register.None)
        {
            return default;
        }

        return _fields.Find((long)instruction.IPRelativeMemoryAddress - (long)_data, instruction.MemorySize.GetSize());
    }

    private bool IsFieldAccess(int index, in Instruction instruction, in InstructionRule rule, int size, bool write)
    {
        StateField field = _fields.Find((long)instruction.IPRelativeMemoryAddress - (long)_data, size);
        bool isMove = instruction.Mnemonic == Mnemonic.Mov;
        bool allowed = field.Use switch
        {
            FieldUse.GuestRegister => !rule.IsBitString,
            FieldUse.Scratch => isMove,
            FieldUse.Input => (isMove || instruction.Mnemonic == Mnemonic.Movzx) && !write,
            FieldUse.Output => isMove && write,
            _ => false,
        };
        return allowed || Fail(index, field.Use == FieldUse.None ? "access to the data region outside the allowed fields" : $"use of a field that is reserved for {field.Use}");
    }

    // The offset selects a bit inside the operand.
    private bool IsBoundedBit(int index, in Instruction instruction, int size, in AbstractState state)
    {
        Value offset = VerifiedRegisters.Number(instruction.Op1Register) switch
        {
            VerifiedRegisters.T0 => state.T0,
            VerifiedRegisters.T1 => state.T1,
            _ => Value.Guest,
        };
        return (offset.Kind == ValueKind.Bounded && offset.High < size * 8) || Fail(index, "bit offset that may lead out of the operand");
    }

    private bool HasFaultPoint(in Instruction instruction, byte register)
    {
        int offset = OffsetOf(instruction.IP);
        for (int i = _block.FirstFaultPoint; i < _block.FirstFaultPoint + _block.FaultPointCount; i++)
        {
            FaultPoint point = _region.FaultPoints[i];
            if (point.HostOffset == offset)
            {
                return point.ParkedRegister == register;
            }
        }

        return false;
    }
}
