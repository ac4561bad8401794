using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using CooperativeLinux.Processor.Tests.Execution;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Verification;

/// <summary>User code must not get into kernel blocks by returning to an address that a kernel call has left on the host's stack.</summary>
public sealed unsafe class ModeSwitchTests
{
    private const ulong KernelHalf = 0xFFFF_8000_0000_0000;
    private const ulong UserCode = FlatMachine.Code + 0x2000;

    [Fact]
    public void Return_FromUserModeToKernelCallSite_Faults()
    {
        using Machine machine = new();
        Write(machine.Memory, FlatMachine.Code, KernelHalf + FlatMachine.Code, a =>
        {
            Label loop = a.CreateLabel();
            Label callee = a.CreateLabel();
            Label leave = a.CreateLabel();
            a.mov(ecx, 3);
            a.Label(ref loop);
            a.call(callee);
            a.add(__dword_ptr[rbx], 1);
            a.jmp(loop);
            a.Label(ref callee);
            a.dec(ecx);
            a.jz(leave);
            a.ret();
            a.Label(ref leave);
            a.syscall();
        });
        Write(machine.Memory, UserCode, UserCode, a =>
        {
            a.mov(ecx, 1);
            a.ret();
        });

        // The user's stack holds the kernel's return address.
        machine.Memory.TryWrite(FlatMachine.StackTop - 8, KernelHalf + FlatMachine.Code + 10);
        VcpuState* state = machine.Cpu.State;
        state->UserMode = 0;
        state->Rip = KernelHalf + FlatMachine.Code;
        state->Rsp = KernelHalf + FlatMachine.StackTop - 0x1000;
        state->Rbx = KernelHalf + FlatMachine.Data;
        machine.Cpu.Run();
        Assert.True(machine.Memory.TryRead(FlatMachine.Data, out uint written));
        Assert.Equal(2u, written);
        Assert.Equal(GuestException.PageFault, Assert.Single(machine.Exceptions).Vector);
    }

    /// <summary>The user's calls are still paired after the kernel has called, and has returned to where nobody called.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(20_000)]
    public void Returns_AfterSystemCallsAtAnyDepth_ArriveWhereTheyShould(int depth)
    {
        const ulong Handler = KernelHalf + FlatMachine.Code;
        using Machine machine = new();
        Write(machine.Memory, FlatMachine.Code, Handler, a =>
        {
            Label callee = a.CreateLabel();
            Label leave = a.CreateLabel();
            a.call(callee);
            a.call(callee);
            a.lea(r11, __[leave]);
            a.push(r11);
            a.ret();
            a.Label(ref leave);
            a.syscall();
            a.Label(ref callee);
            a.ret();
        });
        Write(machine.Memory, UserCode, UserCode, a =>
        {
            Label function = a.CreateLabel();
            Label bottom = a.CreateLabel();
            a.call(function);
            a.mov(ecx, 0x7777);
            a.syscall();
            a.Label(ref function);
            a.syscall();
            a.inc(rax);
            a.dec(rcx);
            a.jle(bottom);
            a.call(function);
            a.Label(ref bottom);
            a.syscall();
            a.inc(rax);
            a.ret();
        });
        ulong resume = 0, stack = 0;
        machine.Syscall = cpu =>
        {
            VcpuState* state = cpu.State;
            if (state->UserMode != 0)
            {
                if (state->Rcx == 0x7777)
                {
                    cpu.RequestStop();
                    return;
                }

                (resume, stack) = (state->Rip, state->Rsp);
                (state->Rip, state->Rsp, state->UserMode) = (Handler, KernelHalf + FlatMachine.StackTop - 0x1000, 0);
            }
            else
            {
                (state->Rip, state->Rsp, state->UserMode) = (resume, stack, 1);
            }
        };
        VcpuState* state = machine.Cpu.State;
        state->UserMode = 1;
        state->Rip = UserCode;
        state->Rsp = FlatMachine.StackTop + 0x100000;
        state->Rcx = (ulong)depth;
        state->Rax = 0;
        machine.Cpu.Run();

        Assert.Empty(machine.Exceptions);
        Assert.Equal(2UL * (ulong)Math.Max(1, depth), state->Rax);
        Assert.Equal(FlatMachine.StackTop + 0x100000, state->Rsp);
        Assert.Empty(machine.Cpu.VerifyAll());
    }

    private static void Write(GuestMemory memory, ulong physical, ulong address, Action<Assembler> program)
    {
        Assembler assembler = new(64);
        program(assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        memory.TryWrite(physical, stream.ToArray());
    }

    /// <summary>The lower half belongs to the user, the same memory in the upper half to the kernel only.</summary>
    private sealed class Machine : IVcpuEnvironment, IDisposable
    {
        private int _calls;

        public Machine()
        {
            Memory = new GuestMemory(16 << 20);
            Cpu = new Vcpu(Memory, this, new ProcessorOptions { Verify = true });
            Map(0, 0x2000, 7);
            Map(256, 0x5000, 3);
            Cpu.SetRoots(1, 1);
        }

        public GuestMemory Memory { get; }

        public Vcpu Cpu { get; }

        public List<GuestException> Exceptions { get; } = [];

        /// <summary>Carries out system calls instead.</summary>
        public Action<Vcpu>? Syscall { get; set; }

        // The first system call is the kernel's return to user mode.
        public void OnSyscall(Vcpu cpu)
        {
            if (Syscall != null)
            {
                Syscall(cpu);
                return;
            }

            if (_calls++ > 0)
            {
                cpu.RequestStop();
                return;
            }

            cpu.State->UserMode = 1;
            cpu.State->Rip = UserCode;
            cpu.State->Rsp = FlatMachine.StackTop - 8;
        }

        public void OnException(Vcpu cpu, in GuestException exception)
        {
            Exceptions.Add(exception);
            cpu.RequestStop();
        }

        public void OnInstruction(Vcpu cpu, in Instruction instruction) => OnException(cpu, new GuestException(GuestException.GeneralProtection));

        public void OnPoll(Vcpu cpu)
        {
        }

        public byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write) => null;

        public bool IsReserved(ulong address) => false;

        public void Dispose()
        {
            Cpu.Dispose();
            Memory.Dispose();
        }

        private void Map(ulong index, ulong tables, ulong rights)
        {
            Memory.TryWrite(0x1000 + (index * 8), tables | 7);
            Memory.TryWrite(tables, (tables + 0x1000) | 7);
            Memory.TryWrite(tables + 0x1000 + 16, (tables + 0x2000) | 7);
            for (ulong i = 0; i < 512; i++)
            {
                Memory.TryWrite(tables + 0x2000 + (i * 8), (FlatMachine.Base + (i * 4096)) | rights);
            }
        }
    }
}
