using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>
/// Carries out the system instructions the processor hands over (pv-interface 2.8 to 2.12). Privileged ones work in
/// kernel mode only; user code gets a #GP.
/// </summary>
/// <param name="cpuid">The CPU model.</param>
/// <param name="readTimestamp">The guest's TSC.</param>
internal sealed unsafe class InstructionEmulator(CpuidPolicy cpuid, Func<ulong> readTimestamp)
{
    private const int Ud2Length = 2, ForcedCpuidLength = 7;

    /// <summary>What follows ud2 in the forced form of cpuid: "xen", cpuid.</summary>
    private static ReadOnlySpan<byte> ForcedCpuidTail => [0x78, 0x65, 0x6e, 0x0f, 0xa2];

    private readonly ModelSpecificRegisters _registers = new(readTimestamp);

    /// <summary>Carries out one instruction, or delivers the exception it raises.</summary>
    public void Execute(VcpuContext vcpu, in Instruction instruction)
    {
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Cpuid:
                Cpuid(vcpu, isForcedForm: false, instruction.Length);
                break;
            case Mnemonic.Ud2:
                Ud2(vcpu);
                break;
            case Mnemonic.Mov:
                Move(vcpu, instruction);
                break;
            case Mnemonic.Push:
                SegmentInstructions.Push(vcpu, instruction);
                break;
            case Mnemonic.Pop:
                SegmentInstructions.Pop(vcpu, instruction);
                break;
            case Mnemonic.Lss or Mnemonic.Lfs or Mnemonic.Lgs:
                SegmentInstructions.LoadFarPointer(vcpu, instruction);
                break;
            case Mnemonic.Lar or Mnemonic.Lsl or Mnemonic.Verr or Mnemonic.Verw:
                SegmentInstructions.Inspect(vcpu, instruction);
                break;
            case Mnemonic.Rdfsbase or Mnemonic.Rdgsbase or Mnemonic.Wrfsbase or Mnemonic.Wrgsbase:
                SegmentInstructions.AccessBase(vcpu, instruction);
                break;
            case Mnemonic.Iret or Mnemonic.Iretd or Mnemonic.Iretq:
                FarTransfers.InterruptReturn(vcpu, instruction);
                break;
            case Mnemonic.Retf:
                FarTransfers.Return(vcpu, instruction);
                break;
            case Mnemonic.Jmp:
                FarTransfers.Jump(vcpu, instruction);
                break;
            case Mnemonic.Call:
                FarTransfers.Call(vcpu, instruction);
                break;
            case Mnemonic.Int:
                SystemInstructions.SoftwareInterrupt(vcpu, instruction);
                break;
            case Mnemonic.Int1:
                InstructionOperands.Advance(vcpu, instruction);
                TrapDelivery.DeliverException(vcpu, new GuestException(GuestException.Debug));
                break;
            case Mnemonic.Rdtsc or Mnemonic.Rdtscp:
                ReadTimestamp(vcpu, instruction);
                break;
            case Mnemonic.Rdpid:
                vcpu.Processor.SetRegister(instruction.Op0Register, vcpu.TscAux);
                InstructionOperands.Advance(vcpu, instruction);
                break;
            case Mnemonic.Xgetbv:
                SystemInstructions.ReadExtendedControl(vcpu, instruction);
                break;
            case Mnemonic.Smsw or Mnemonic.Sldt or Mnemonic.Str:
                SystemInstructions.StoreSystemValue(vcpu, instruction);
                break;
            case Mnemonic.Sgdt or Mnemonic.Sidt:
                SystemInstructions.StoreTable(vcpu, instruction);
                break;
            default:
                ExecutePrivileged(vcpu, instruction);
                break;
        }
    }

    /// <summary>Instructions that raise #GP in user mode; those a PV kernel may not use raise it in kernel mode too.</summary>
    private void ExecutePrivileged(VcpuContext vcpu, in Instruction instruction)
    {
        bool isUser = vcpu.IsUserMode;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Rdmsr when !isUser:
                ReadMsr(vcpu, instruction);
                break;
            case Mnemonic.Wrmsr when !isUser:
                WriteMsr(vcpu, instruction);
                break;
            case Mnemonic.In when !isUser:
                PortInstructions.In(vcpu, instruction);
                break;
            case Mnemonic.Out when !isUser:
                PortInstructions.Out(vcpu, instruction);
                break;
            case Mnemonic.Insb or Mnemonic.Insw or Mnemonic.Insd when !isUser:
                PortInstructions.InString(vcpu, instruction);
                break;
            case Mnemonic.Outsb or Mnemonic.Outsw or Mnemonic.Outsd when !isUser:
                PortInstructions.OutString(vcpu, instruction);
                break;
            case Mnemonic.Xsetbv when !isUser:
                SystemInstructions.WriteExtendedControl(vcpu, instruction, cpuid.SupportedXcr0);
                break;
            case Mnemonic.Lmsw when !isUser:
                SystemInstructions.LoadMachineStatus(vcpu, instruction);
                break;
            case Mnemonic.Clts when !isUser:
                vcpu.TaskSwitched = false;
                InstructionOperands.Advance(vcpu, instruction);
                break;
            case Mnemonic.Invlpg when !isUser:
                vcpu.Processor.FlushPage(vcpu.Processor.EffectiveAddress(instruction));
                InstructionOperands.Advance(vcpu, instruction);
                break;
            case Mnemonic.Hlt when !isUser:
                // Only a kernel that stops for good gets here; the flag stays as it is.
                InstructionOperands.Advance(vcpu, instruction);
                vcpu.Scheduler.Idle();
                break;
            case Mnemonic.Cli or Mnemonic.Sti or Mnemonic.Wbinvd or Mnemonic.Wbnoinvd or Mnemonic.Invd when !isUser:
                // The interrupt flag is a word in memory, and caches are coherent.
                InstructionOperands.Advance(vcpu, instruction);
                break;
            case Mnemonic.Rdmsr or Mnemonic.Wrmsr or Mnemonic.In or Mnemonic.Out or Mnemonic.Xsetbv or Mnemonic.Lmsw or Mnemonic.Clts:
            case Mnemonic.Insb or Mnemonic.Insw or Mnemonic.Insd or Mnemonic.Outsb or Mnemonic.Outsw or Mnemonic.Outsd:
            case Mnemonic.Invlpg or Mnemonic.Hlt or Mnemonic.Cli or Mnemonic.Sti or Mnemonic.Wbinvd or Mnemonic.Wbnoinvd or Mnemonic.Invd:
            case Mnemonic.Rdpmc or Mnemonic.Lgdt or Mnemonic.Lidt or Mnemonic.Lldt or Mnemonic.Ltr or Mnemonic.Swapgs:
            case Mnemonic.Sysret or Mnemonic.Sysretq or Mnemonic.Sysenter or Mnemonic.Sysexit or Mnemonic.Sysexitq:
                InstructionOperands.RaiseGeneralProtection(vcpu);
                break;
            default:
                InstructionOperands.RaiseInvalidOpcode(vcpu);
                break;
        }
    }

    private static void MoveControlOrDebug(VcpuContext vcpu, in Instruction instruction, bool isControl)
    {
        if (vcpu.IsUserMode)
        {
            InstructionOperands.RaiseGeneralProtection(vcpu);
        }
        else if (isControl)
        {
            SystemInstructions.MoveControlRegister(vcpu, instruction);
        }
        else
        {
            SystemInstructions.MoveDebugRegister(vcpu, instruction);
        }
    }

    private static void Move(VcpuContext vcpu, in Instruction instruction)
    {
        Register target = instruction.Op0Register, source = instruction.Op1Register;
        if (target.IsSegmentRegister())
        {
            SegmentInstructions.MoveTo(vcpu, instruction);
        }
        else if (source.IsSegmentRegister())
        {
            SegmentInstructions.MoveFrom(vcpu, instruction);
        }
        else if (target.IsCR() || source.IsCR())
        {
            MoveControlOrDebug(vcpu, instruction, isControl: true);
        }
        else if (target.IsDR() || source.IsDR())
        {
            MoveControlOrDebug(vcpu, instruction, isControl: false);
        }
        else
        {
            InstructionOperands.RaiseInvalidOpcode(vcpu);
        }
    }

    private void Cpuid(VcpuContext vcpu, bool isForcedForm, int length)
    {
        VcpuState* state = vcpu.State;
        CpuidQuery query = new(vcpu.Index, isForcedForm, vcpu.IsUserMode, vcpu.Cr4, vcpu.Xcr0);
        CpuidResult result = cpuid.Query((uint)state->Rax, (uint)state->Rcx, query);
        state->Rax = result.Eax;
        state->Rbx = result.Ebx;
        state->Rcx = result.Ecx;
        state->Rdx = result.Edx;
        state->Rip += (ulong)length;
    }

    /// <summary>The forced form of cpuid, or else an invalid opcode like any other.</summary>
    private void Ud2(VcpuContext vcpu)
    {
        Span<byte> tail = stackalloc byte[ForcedCpuidLength - Ud2Length];
        if (vcpu.Processor.TryRead(vcpu.State->Rip + Ud2Length, tail, out _) && tail.SequenceEqual(ForcedCpuidTail))
        {
            Cpuid(vcpu, isForcedForm: true, ForcedCpuidLength);
        }
        else
        {
            InstructionOperands.RaiseInvalidOpcode(vcpu);
        }
    }

    private void ReadTimestamp(VcpuContext vcpu, in Instruction instruction)
    {
        if (vcpu.IsUserMode && (vcpu.Cr4 & ControlRegisters.Cr4Tsd) != 0)
        {
            InstructionOperands.RaiseGeneralProtection(vcpu);
            return;
        }

        InstructionOperands.SetEdxEax(vcpu, readTimestamp());
        if (instruction.Mnemonic == Mnemonic.Rdtscp)
        {
            vcpu.State->Rcx = vcpu.TscAux;
        }

        InstructionOperands.Advance(vcpu, instruction);
    }

    private void ReadMsr(VcpuContext vcpu, in Instruction instruction)
    {
        if (_registers.TryRead(vcpu, (uint)vcpu.State->Rcx, out ulong value))
        {
            InstructionOperands.SetEdxEax(vcpu, value);
            InstructionOperands.Advance(vcpu, instruction);
        }
        else
        {
            InstructionOperands.RaiseGeneralProtection(vcpu);
        }
    }

    private void WriteMsr(VcpuContext vcpu, in Instruction instruction)
    {
        if (_registers.TryWrite(vcpu, (uint)vcpu.State->Rcx, InstructionOperands.EdxEax(vcpu)))
        {
            InstructionOperands.Advance(vcpu, instruction);
        }
        else
        {
            InstructionOperands.RaiseGeneralProtection(vcpu);
        }
    }
}
