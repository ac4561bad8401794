using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>
/// Far jumps, calls and returns, and native iret. All stay in the current mode: the guest kernel returns to user mode
/// only by its hypercall, and uses iretq to serialise after it has patched code.
/// </summary>
internal static unsafe class FarTransfers
{
    /// <summary>retf, with or without an immediate.</summary>
    public static void Return(VcpuContext vcpu, in Instruction instruction)
    {
        VcpuState* state = vcpu.State;
        int size = OperandSize(instruction.Code);
        if (!InstructionOperands.TryReadMemory(vcpu, state->Rsp, size, out ulong rip)
            || !InstructionOperands.TryReadMemory(vcpu, state->Rsp + (ulong)size, size, out ulong cs)
            || !CheckTarget(vcpu, (ushort)cs, rip))
        {
            return;
        }

        ulong released = instruction.OpCount == 0 ? 0u : instruction.Immediate16;
        state->Rsp += ((ulong)size * 2) + released;
        Go(vcpu, (ushort)cs, rip);
    }

    /// <summary>jmp far through memory.</summary>
    public static void Jump(VcpuContext vcpu, in Instruction instruction)
    {
        if (TryReadTarget(vcpu, instruction, out ushort cs, out ulong rip) && CheckTarget(vcpu, cs, rip))
        {
            Go(vcpu, cs, rip);
        }
    }

    /// <summary>call far through memory.</summary>
    public static void Call(VcpuContext vcpu, in Instruction instruction)
    {
        VcpuState* state = vcpu.State;
        int size = OperandSize(instruction.Code);
        ulong rsp = state->Rsp - ((ulong)size * 2);
        if (TryReadTarget(vcpu, instruction, out ushort cs, out ulong rip)
            && CheckTarget(vcpu, cs, rip)
            && InstructionOperands.TryWriteMemory(vcpu, rsp, size, state->Rip + (ulong)instruction.Length)
            && InstructionOperands.TryWriteMemory(vcpu, rsp + (ulong)size, size, state->Selectors[Selector.Cs]))
        {
            state->Rsp = rsp;
            Go(vcpu, cs, rip);
        }
    }

    /// <summary>iretw, iretd, iretq: pops rip, cs, rflags, rsp, ss.</summary>
    public static void InterruptReturn(VcpuContext vcpu, in Instruction instruction)
    {
        VcpuState* state = vcpu.State;
        int size = instruction.Mnemonic switch
        {
            Mnemonic.Iret => 2,
            Mnemonic.Iretd => 4,
            _ => 8,
        };
        const int Words = 5;
        ulong* frame = stackalloc ulong[Words];
        for (int i = 0; i < Words; i++)
        {
            if (!InstructionOperands.TryReadMemory(vcpu, state->Rsp + (ulong)(i * size), size, out frame[i]))
            {
                return;
            }
        }

        ushort cs = (ushort)frame[1];
        ushort ss = (ushort)(frame[4] | Selector.RplMask);
        if (!CheckTarget(vcpu, cs, frame[0]))
        {
            return;
        }

        if (!SegmentInstructions.TryLoad(vcpu, Selector.Ss, ss, out GuestException exception))
        {
            TrapDelivery.DeliverException(vcpu, exception);
            return;
        }

        state->Rflags = size == 2 ? (state->Rflags & ~0xfffful) | frame[2] : frame[2];
        state->Rsp = frame[3];
        Go(vcpu, cs, frame[0]);
    }

    private static bool TryReadTarget(VcpuContext vcpu, in Instruction instruction, out ushort cs, out ulong rip)
    {
        int size = OperandSize(instruction.Code);
        ulong address = vcpu.Processor.EffectiveAddress(instruction);
        cs = 0;
        if (!InstructionOperands.TryReadMemory(vcpu, address, size, out rip)
            || !InstructionOperands.TryReadMemory(vcpu, address + (ulong)size, 2, out ulong selector))
        {
            return false;
        }

        cs = (ushort)selector;
        return true;
    }

    /// <summary>Raises a fault unless the target is 64-bit code at a canonical address.</summary>
    private static bool CheckTarget(VcpuContext vcpu, ushort cs, ulong rip)
    {
        if (!vcpu.Descriptors.IsLongCode(cs))
        {
            InstructionOperands.RaiseGeneralProtection(vcpu, Selector.ErrorCode(cs));
            return false;
        }

        if (!CanonicalAddress.IsCanonical(rip))
        {
            InstructionOperands.RaiseGeneralProtection(vcpu);
            return false;
        }

        return true;
    }

    private static void Go(VcpuContext vcpu, ushort cs, ulong rip)
    {
        vcpu.State->Selectors[Selector.Cs] = (ushort)(cs | Selector.RplMask);
        vcpu.State->Rip = rip;
    }

    private static int OperandSize(Code code) => code switch
    {
        Code.Retfw or Code.Retfw_imm16 or Code.Jmp_m1616 or Code.Call_m1616 => 2,
        Code.Retfd or Code.Retfd_imm16 or Code.Jmp_m1632 or Code.Call_m1632 => 4,
        _ => 8,
    };
}
