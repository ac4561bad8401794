using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>Operand access for instructions the monitor carries out, and how they end.</summary>
internal static unsafe class InstructionOperands
{
    /// <summary>Reads a register or memory operand; on a fault delivers it and returns false.</summary>
    public static bool TryReadOperand(VcpuContext vcpu, in Instruction instruction, int operand, int size, out ulong value)
    {
        if (instruction.GetOpKind(operand) == OpKind.Register)
        {
            value = vcpu.Processor.GetRegister(instruction.GetOpRegister(operand));
            return true;
        }

        return TryReadMemory(vcpu, vcpu.Processor.EffectiveAddress(instruction), size, out value);
    }

    /// <summary>Writes a register (its whole width) or memory operand; on a fault delivers it and returns false.</summary>
    public static bool TryWriteOperand(VcpuContext vcpu, in Instruction instruction, int operand, int memorySize, ulong value)
    {
        if (instruction.GetOpKind(operand) == OpKind.Register)
        {
            vcpu.Processor.SetRegister(instruction.GetOpRegister(operand), value);
            return true;
        }

        return TryWriteMemory(vcpu, vcpu.Processor.EffectiveAddress(instruction), memorySize, value);
    }

    public static bool TryReadMemory(VcpuContext vcpu, ulong address, int size, out ulong value)
    {
        if (vcpu.Processor.TryReadOperand(address, size, out value, out GuestException fault))
        {
            return true;
        }

        TrapDelivery.DeliverException(vcpu, fault);
        return false;
    }

    public static bool TryWriteMemory(VcpuContext vcpu, ulong address, int size, ulong value)
    {
        if (vcpu.Processor.TryWriteOperand(address, size, value, out GuestException fault))
        {
            return true;
        }

        TrapDelivery.DeliverException(vcpu, fault);
        return false;
    }

    /// <summary>Goes on after the instruction.</summary>
    public static void Advance(VcpuContext vcpu, in Instruction instruction) => vcpu.State->Rip += (ulong)instruction.Length;

    public static void RaiseGeneralProtection(VcpuContext vcpu, uint errorCode = 0) =>
        TrapDelivery.DeliverException(vcpu, new GuestException(GuestException.GeneralProtection, errorCode));

    public static void RaiseInvalidOpcode(VcpuContext vcpu) =>
        TrapDelivery.DeliverException(vcpu, new GuestException(GuestException.InvalidOpcode));

    /// <summary>Splits a value over edx:eax, upper halves zero.</summary>
    public static void SetEdxEax(VcpuContext vcpu, ulong value)
    {
        vcpu.State->Rax = (uint)value;
        vcpu.State->Rdx = value >> 32;
    }

    /// <summary>The value in edx:eax.</summary>
    public static ulong EdxEax(VcpuContext vcpu) => (vcpu.State->Rdx << 32) | (uint)vcpu.State->Rax;
}
