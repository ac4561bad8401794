using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Instructions;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>What happens each time one vCPU leaves guest code.</summary>
internal sealed unsafe class VcpuExits(VcpuContext vcpu, HypercallDispatcher hypercalls, InstructionEmulator instructions)
{
    private const int SyscallLength = 2;

    /// <summary>Number of hypercalls by number; the last entry counts all unknown ones.</summary>
    public long[] HypercallCounts { get; } = new long[HypercallNumber.Count + 1];

    /// <summary>Number of instructions carried out here, by <see cref="Mnemonic"/>.</summary>
    public long[] InstructionCounts { get; } = new long[Enum.GetValues<Mnemonic>().Length];

    /// <summary>System calls of user code that were bounced to the guest kernel.</summary>
    public long SystemCalls { get; private set; }

    /// <summary>`syscall`: a hypercall in kernel mode, else a system call of user code.</summary>
    public void OnSyscall()
    {
        VcpuState* state = vcpu.State;
        if (state->UserMode == 0)
        {
            Hypercall(state);
            return;
        }

        SystemCalls++;
        GuestCallback callback = vcpu.SyscallCallback;
        if (callback.Address != 0)
        {
            TrapDelivery.DeliverSyscall(vcpu, callback);
        }
        else
        {
            state->Rip -= SyscallLength;
            InstructionOperands.RaiseInvalidOpcode(vcpu);
        }
    }

    public void OnException(in GuestException exception) => TrapDelivery.DeliverException(vcpu, exception);

    public void OnInstruction(in Instruction instruction)
    {
        InstructionCounts[(int)instruction.Mnemonic]++;
        instructions.Execute(vcpu, instruction);
        if (instruction.Mnemonic == Mnemonic.Hlt)
        {
            TrapDelivery.DeliverPending(vcpu);
        }
    }

    /// <summary>Between two instructions, because somebody asked for it.</summary>
    public void OnPoll()
    {
        if (vcpu.MustAttend)
        {
            vcpu.Attend();
        }

        BeforeGuestCode();
    }

    private void Hypercall(VcpuState* state)
    {
        uint number = (uint)state->Rax;
        HypercallCounts[Math.Min(number, HypercallNumber.Count)]++;
        if (number == HypercallNumber.Iret)
        {
            InterruptReturn.Execute(vcpu);
        }
        else
        {
            HypercallArguments arguments = HypercallArguments.FromRegisters(*state);
            state->Rcx = state->Rip;
            state->R11 = state->Rflags;
            state->Rax = (ulong)hypercalls.Dispatch(vcpu, number, arguments);
        }

        BeforeGuestCode();
    }

    private void BeforeGuestCode()
    {
        if (!vcpu.IsUp)
        {
            vcpu.Scheduler.SleepWhileDown();
        }

        if (vcpu.Life.HasEnded)
        {
            vcpu.Processor.RequestStop();
            return;
        }

        TrapDelivery.DeliverPending(vcpu);
    }
}
