using Iced.Intel;

namespace CooperativeLinux.Processor.Emission;

// Guest addresses of operands, and lea.
internal sealed unsafe partial class BlockEmitter
{
    // T0 := linear address of the memory operand. T1 may be lost; flags are kept.
    private void EmitAddress(in Instruction instruction, int rspAdjust = 0)
    {
        Register segment = instruction.SegmentPrefix;
        bool based = segment is Register.FS or Register.GS;
        int segmentBase = segment == Register.FS ? StateLayout.FsBase : StateLayout.GsBase;
        if (instruction.IsIPRelativeMemoryOperand || (instruction.MemoryBase == Register.None && instruction.MemoryIndex == Register.None))
        {
            ulong address = instruction.IsIPRelativeMemoryOperand ? instruction.IPRelativeMemoryAddress : instruction.MemoryDisplacement64;
            if (based && (long)address == (int)address)
            {
                _asm.LoadState(Gpr.T0, segmentBase);
                if (address != 0)
                {
                    _asm.Lea(Gpr.T0, Gpr.T0, (int)address);
                }

                return;
            }

            if (instruction.IsIPRelativeMemoryOperand)
            {
                EmitMoveAddress(Gpr.T0, address);
            }
            else
            {
                _asm.MoveImmediate(Gpr.T0, address);
            }
        }
        else
        {
            EmitRegisterAddress(instruction, rspAdjust);
        }

        if (based)
        {
            _deltaInT1 = NoDelta;
            _asm.LoadState(Gpr.T1, segmentBase);
            _asm.Memory(0x8D, Gpr.T0, Gpr.T0, Gpr.T1, 1, 0, wide: true);
        }
    }

    private void EmitRegisterAddress(in Instruction instruction, int rspAdjust)
    {
        int baseRegister = instruction.MemoryBase == Register.None ? -1 : GuestNumber(instruction.MemoryBase);
        int index = instruction.MemoryIndex == Register.None ? -1 : GuestNumber(instruction.MemoryIndex);
        bool narrow = IsNarrowAddress(instruction);
        int displacement = (int)instruction.MemoryDisplacement64;
        if (baseRegister == Gpr.Rsp)
        {
            displacement += rspAdjust;
        }

        int hostBase = -1;
        if (baseRegister >= 0)
        {
            hostBase = HostOf(baseRegister);
            if (IsInMemory(baseRegister))
            {
                LoadHome(Gpr.T0, baseRegister);
                hostBase = Gpr.T0;
            }
        }

        int hostIndex = -1;
        if (index >= 0)
        {
            hostIndex = HostOf(index);
            if (IsInMemory(index))
            {
                _deltaInT1 = NoDelta;
                LoadHome(Gpr.T1, index);
                hostIndex = Gpr.T1;
            }
        }

        if (hostIndex < 0 && displacement == 0 && !narrow)
        {
            if (hostBase != Gpr.T0)
            {
                _asm.MoveRegister(Gpr.T0, hostBase);
            }

            return;
        }

        // A 32-bit address is the low half of the 64-bit sum.
        _asm.Memory(0x8D, Gpr.T0, hostBase, hostIndex, instruction.MemoryIndexScale, displacement, wide: !narrow);
    }

    private static bool IsNarrowAddress(in Instruction instruction) =>
        instruction.MemoryBase.IsGPR32() || instruction.MemoryIndex.IsGPR32() || instruction.MemoryBase == Register.EIP;

    private void EmitLea(in Instruction instruction)
    {
        int destination = GuestNumber(instruction.Op0Register);
        int size = instruction.Op0Register.GetSize();
        bool narrowAddress = IsNarrowAddress(instruction);
        bool special = IsInMemory(destination) || size == 2 || instruction.MemoryBase == Register.None || instruction.IsIPRelativeMemoryOperand
            || IsInMemory(GuestNumber(instruction.MemoryBase))
            || (instruction.MemoryIndex != Register.None && IsInMemory(GuestNumber(instruction.MemoryIndex)));
        if (!special)
        {
            _asm.Memory(
                0x8D,
                HostOf(destination),
                HostOf(GuestNumber(instruction.MemoryBase)),
                instruction.MemoryIndex == Register.None ? -1 : HostOf(GuestNumber(instruction.MemoryIndex)),
                instruction.MemoryIndexScale,
                (int)instruction.MemoryDisplacement64,
                wide: size == 8 && !narrowAddress);
            return;
        }

        Instruction plain = instruction;
        plain.SegmentPrefix = Register.None;
        EmitAddress(plain);
        StoreGuest(destination, size, Gpr.T0);
        HoldNothing();
        if (IsInMemory(destination) && size >= 4)
        {
            Hold(Gpr.T0, destination);
        }
    }

    // Guest register := scratch, with the rules of 16, 32 and 64-bit writes. Flags are kept.
    private void StoreGuest(int guest, int size, int scratch)
    {
        if (IsInMemory(guest))
        {
            if (size == 2)
            {
                _asm.Byte(0x66);
                _asm.State(0x89, scratch, StateLayout.Register(guest), wide: false);
                return;
            }

            if (size == 4)
            {
                _asm.MoveRegister32(scratch, scratch);
            }

            _asm.StoreState(StateLayout.Register(guest), scratch);
            return;
        }

        if (size == 2)
        {
            _asm.Byte(0x66);
        }

        _asm.RegisterForm(0x8B, HostOf(guest), scratch, wide: size == 8);
    }
}
