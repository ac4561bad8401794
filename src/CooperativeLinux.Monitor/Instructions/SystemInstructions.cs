using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>Control and debug registers, descriptor-table registers, XCR0.</summary>
internal static unsafe class SystemInstructions
{
    /// <summary>What sgdt and sidt show as base: inside the hypervisor's hole, backed by nothing.</summary>
    private const ulong FixedTableBase = 0xffff_8280_0000_0000;

    private const ulong GdtLimit = 0xffff, IdtLimit = 0xfff;

    /// <summary>mov to and from cr0, cr2, cr3, cr4, cr8, in kernel mode.</summary>
    public static void MoveControlRegister(VcpuContext vcpu, in Instruction instruction)
    {
        if (instruction.Op0Register.IsCR())
        {
            ulong value = vcpu.Processor.GetRegister(instruction.Op1Register);
            switch (instruction.Op0Register)
            {
                case Register.CR0:
                    ControlRegisters.WriteCr0(vcpu, value);
                    break;
                case Register.CR4:
                    ControlRegisters.WriteCr4(vcpu, value);
                    break;
                case Register.CR8:
                    break;
                default:
                    // Page tables are changed by hypercall only.
                    InstructionOperands.RaiseGeneralProtection(vcpu);
                    return;
            }
        }
        else
        {
            ulong value = instruction.Op1Register switch
            {
                Register.CR0 => ControlRegisters.ReadCr0(vcpu),
                Register.CR2 => vcpu.HasInfo ? vcpu.Info.Cr2 : 0,
                Register.CR3 => vcpu.KernelRoot << 12,
                Register.CR4 => vcpu.Cr4,
                _ => 0,
            };
            vcpu.Processor.SetRegister(instruction.Op0Register, value);
        }

        InstructionOperands.Advance(vcpu, instruction);
    }

    /// <summary>mov to and from debug registers, in kernel mode.</summary>
    public static void MoveDebugRegister(VcpuContext vcpu, in Instruction instruction)
    {
        if (instruction.Op0Register.IsDR())
        {
            int number = DebugRegister(instruction.Op0Register);
            vcpu.DebugRegisters[number] = vcpu.Processor.GetRegister(instruction.Op1Register);
        }
        else
        {
            int number = DebugRegister(instruction.Op1Register);
            vcpu.Processor.SetRegister(instruction.Op0Register, vcpu.DebugRegisters[number]);
        }

        InstructionOperands.Advance(vcpu, instruction);
    }

    /// <summary>lmsw: takes TS.</summary>
    public static void LoadMachineStatus(VcpuContext vcpu, in Instruction instruction)
    {
        if (InstructionOperands.TryReadOperand(vcpu, instruction, 0, 2, out ulong value))
        {
            ControlRegisters.WriteCr0(vcpu, value);
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>smsw, sldt, str: fixed values, never the host's.</summary>
    public static void StoreSystemValue(VcpuContext vcpu, in Instruction instruction)
    {
        ulong value = instruction.Mnemonic == Mnemonic.Smsw ? ControlRegisters.ReadCr0(vcpu) : 0;
        if (InstructionOperands.TryWriteOperand(vcpu, instruction, 0, 2, value))
        {
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>sgdt, sidt: fixed values, never the host's.</summary>
    public static void StoreTable(VcpuContext vcpu, in Instruction instruction)
    {
        ulong address = vcpu.Processor.EffectiveAddress(instruction);
        ulong limit = instruction.Mnemonic == Mnemonic.Sgdt ? GdtLimit : IdtLimit;
        if (InstructionOperands.TryWriteMemory(vcpu, address, 2, limit)
            && InstructionOperands.TryWriteMemory(vcpu, address + 2, 8, FixedTableBase))
        {
            InstructionOperands.Advance(vcpu, instruction);
        }
    }

    /// <summary>xgetbv.</summary>
    public static void ReadExtendedControl(VcpuContext vcpu, in Instruction instruction)
    {
        if ((vcpu.Cr4 & ControlRegisters.Cr4OsXsave) == 0)
        {
            InstructionOperands.RaiseInvalidOpcode(vcpu);
            return;
        }

        // 1 is the set of components in use; all of the enabled ones is an allowed answer.
        if ((uint)vcpu.State->Rcx > 1)
        {
            InstructionOperands.RaiseGeneralProtection(vcpu);
            return;
        }

        InstructionOperands.SetEdxEax(vcpu, vcpu.Xcr0);
        InstructionOperands.Advance(vcpu, instruction);
    }

    /// <summary>xsetbv, in kernel mode.</summary>
    public static void WriteExtendedControl(VcpuContext vcpu, in Instruction instruction, ulong supported)
    {
        if ((vcpu.Cr4 & ControlRegisters.Cr4OsXsave) == 0)
        {
            InstructionOperands.RaiseInvalidOpcode(vcpu);
            return;
        }

        ulong value = InstructionOperands.EdxEax(vcpu);
        bool isConsistent = (value & CpuFeatures.XstateX87) != 0 && (value & ~supported) == 0
            && ((value & CpuFeatures.XstateAvx) == 0 || (value & CpuFeatures.XstateSse) != 0);
        if ((uint)vcpu.State->Rcx != 0 || !isConsistent)
        {
            InstructionOperands.RaiseGeneralProtection(vcpu);
            return;
        }

        vcpu.Xcr0 = value;
        InstructionOperands.Advance(vcpu, instruction);
    }

    /// <summary>int n: bounced where the guest allows it, with rip after the instruction.</summary>
    public static void SoftwareInterrupt(VcpuContext vcpu, in Instruction instruction)
    {
        byte vector = instruction.Immediate8;
        ref readonly TrapInfo trap = ref vcpu.Traps[vector];
        int neededDpl = vcpu.IsUserMode ? 3 : 1;
        if (trap.Address == 0 || trap.Dpl < neededDpl)
        {
            const uint IdtReference = 2;
            InstructionOperands.RaiseGeneralProtection(vcpu, ((uint)vector * 8) + IdtReference);
            return;
        }

        InstructionOperands.Advance(vcpu, instruction);
        TrapDelivery.DeliverSoftwareInterrupt(vcpu, vector);
    }

    private static int DebugRegister(Register register)
    {
        int number = register - Register.DR0;
        return number is 4 or 5 ? number + 2 : number & 7;
    }
}
