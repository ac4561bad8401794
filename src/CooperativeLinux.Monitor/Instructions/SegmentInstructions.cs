using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using RflagsBits = CooperativeLinux.Processor.Execution.RflagsBits;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>
/// Loads and stores of segment registers, and the instructions that look at descriptors (pv-interface 2.1). In
/// 64-bit mode a load checks the descriptor, and those of fs and gs change the base.
/// </summary>
internal static unsafe class SegmentInstructions
{
    /// <summary>mov to a segment register.</summary>
    public static void MoveTo(VcpuContext vcpu, in Instruction instruction)
    {
        if (InstructionOperands.TryReadOperand(vcpu, instruction, 1, 2, out ulong selector)
            && TryLoadOrRaise(vcpu, SegmentIndex(instruction.Op0Register), (ushort)selector))
        {
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>mov from a segment register.</summary>
    public static void MoveFrom(VcpuContext vcpu, in Instruction instruction)
    {
        ushort selector = vcpu.State->Selectors[SegmentIndex(instruction.Op1Register)];
        if (InstructionOperands.TryWriteOperand(vcpu, instruction, 0, 2, selector))
        {
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>push fs, push gs.</summary>
    public static void Push(VcpuContext vcpu, in Instruction instruction)
    {
        VcpuState* state = vcpu.State;
        int size = -instruction.StackPointerIncrement;
        ulong rsp = state->Rsp - (ulong)size;
        if (InstructionOperands.TryWriteMemory(vcpu, rsp, size, state->Selectors[SegmentIndex(instruction.Op0Register)]))
        {
            state->Rsp = rsp;
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>pop fs, pop gs.</summary>
    public static void Pop(VcpuContext vcpu, in Instruction instruction)
    {
        VcpuState* state = vcpu.State;
        int size = instruction.StackPointerIncrement;
        if (InstructionOperands.TryReadMemory(vcpu, state->Rsp, size, out ulong selector)
            && TryLoadOrRaise(vcpu, SegmentIndex(instruction.Op0Register), (ushort)selector))
        {
            state->Rsp += (ulong)size;
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>lss, lfs, lgs.</summary>
    public static void LoadFarPointer(VcpuContext vcpu, in Instruction instruction)
    {
        int segment = instruction.Mnemonic switch
        {
            Mnemonic.Lss => Selector.Ss,
            Mnemonic.Lfs => Selector.Fs,
            _ => Selector.Gs,
        };
        int size = instruction.Op0Register.GetSize();
        ulong address = vcpu.Processor.EffectiveAddress(instruction);
        if (InstructionOperands.TryReadMemory(vcpu, address, size, out ulong offset)
            && InstructionOperands.TryReadMemory(vcpu, address + (ulong)size, 2, out ulong selector)
            && TryLoadOrRaise(vcpu, segment, (ushort)selector))
        {
            vcpu.Processor.SetRegister(instruction.Op0Register, offset);
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>lar, lsl, verr, verw: ZF tells whether the selector is good for the purpose.</summary>
    public static void Inspect(VcpuContext vcpu, in Instruction instruction)
    {
        bool hasResult = instruction.Mnemonic is Mnemonic.Lar or Mnemonic.Lsl;
        if (!InstructionOperands.TryReadOperand(vcpu, instruction, hasResult ? 1 : 0, 2, out ulong operand))
        {
            return;
        }

        ushort selector = (ushort)operand;
        bool isGood = vcpu.Descriptors.TryRead(selector, out SegmentDescriptor descriptor) && instruction.Mnemonic switch
        {
            Mnemonic.Verr => descriptor.IsReadable,
            Mnemonic.Verw => descriptor.IsWritable,
            _ => descriptor.IsApplication,
        };
        if (isGood && hasResult)
        {
            uint result = instruction.Mnemonic == Mnemonic.Lar ? descriptor.AccessRights : descriptor.Limit;
            vcpu.Processor.SetRegister(instruction.Op0Register, result);
        }

        VcpuState* state = vcpu.State;
        state->ArithmeticFlags = isGood ? state->ArithmeticFlags | RflagsBits.Zero : state->ArithmeticFlags & ~RflagsBits.Zero;
        InstructionOperands.Advance(vcpu, instruction);
    }

    /// <summary>Loads fs or gs bases and reads them: rdfsbase, rdgsbase, wrfsbase, wrgsbase.</summary>
    public static void AccessBase(VcpuContext vcpu, in Instruction instruction)
    {
        if ((vcpu.Cr4 & ControlRegisters.Cr4FsGsBase) == 0)
        {
            InstructionOperands.RaiseInvalidOpcode(vcpu);
            return;
        }

        VcpuState* state = vcpu.State;
        Register register = instruction.Op0Register;
        bool isFs = instruction.Mnemonic is Mnemonic.Rdfsbase or Mnemonic.Wrfsbase;
        if (instruction.Mnemonic is Mnemonic.Rdfsbase or Mnemonic.Rdgsbase)
        {
            vcpu.Processor.SetRegister(register, isFs ? state->FsBase : state->GsBase);
        }
        else
        {
            ulong value = vcpu.Processor.GetRegister(register);
            if (!CanonicalAddress.IsCanonical(value))
            {
                InstructionOperands.RaiseGeneralProtection(vcpu);
                return;
            }

            (isFs ? ref state->FsBase : ref state->GsBase) = value;
        }

        InstructionOperands.Advance(vcpu, instruction);
    }

    /// <summary>Loads a segment register; the exception tells why not.</summary>
    public static bool TryLoad(VcpuContext vcpu, int segment, ushort selector, out GuestException exception)
    {
        exception = default;
        uint baseAddress = 0;
        if (Selector.IsNull(selector))
        {
            if (segment == Selector.Ss)
            {
                exception = new GuestException(GuestException.GeneralProtection);
                return false;
            }
        }
        else
        {
            bool isStack = segment == Selector.Ss;
            if (!vcpu.Descriptors.TryRead(selector, out SegmentDescriptor descriptor)
                || !(isStack ? descriptor.IsWritable : descriptor.IsReadable))
            {
                exception = new GuestException(GuestException.GeneralProtection, Selector.ErrorCode(selector));
                return false;
            }

            if (!descriptor.IsPresent)
            {
                byte vector = isStack ? GuestException.StackFault : GuestException.SegmentNotPresent;
                exception = new GuestException(vector, Selector.ErrorCode(selector));
                return false;
            }

            baseAddress = descriptor.Base;
        }

        vcpu.State->Selectors[segment] = selector;

        // A null selector zeroes the base, as on Intel processors.
        if (segment == Selector.Fs)
        {
            vcpu.State->FsBase = baseAddress;
        }
        else if (segment == Selector.Gs)
        {
            vcpu.State->GsBase = baseAddress;
        }

        return true;
    }

    private static bool TryLoadOrRaise(VcpuContext vcpu, int segment, ushort selector)
    {
        if (TryLoad(vcpu, segment, selector, out GuestException exception))
        {
            return true;
        }

        TrapDelivery.DeliverException(vcpu, exception);
        return false;
    }

    private static int SegmentIndex(Register register) => register - Register.ES;
}
