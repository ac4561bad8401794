using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Hostile;

/// <summary>Stack pointers at special places, unbalanced calls, and floating-point state that must not leave the guest.</summary>
public sealed unsafe class StackAttackTests
{
    public static TheoryData<ulong> Places =>
    [
        0, 1, 8, 0x1000, 0x7FFF_FFFF_F000, 0x7FFF_FFFF_FFF8, 0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFF8, 0xFFFF_8000_0000_0000, 0x8000_0000_0000_0000,
        0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_F000,
    ];

    [Theory]
    [MemberData(nameof(Places))]
    public void StackAccess_SpecialStackPointer_RaisesFault(ulong place)
    {
        using HostileMachine machine = new();
        Action<Assembler>[] accesses =
        [
            a => a.push(rax), a => a.pop(rax), a => a.call(rax), a => a.ret(), a => a.enter(16, 0), a => a.leave(), a => a.push(__qword_ptr[rsp]),
            a => a.pop(__qword_ptr[rsp]), a => a.mov(__qword_ptr[rsp], rax), a => a.mov(rax, __qword_ptr[rsp + 8]), a => a.pushfq(), a => a.popfq(),
            a =>
            {
                a.push(rax);
                a.push(rbx);
                a.mov(__qword_ptr[rsp + 4], rcx);
                a.pop(rdx);
            },
        ];
        foreach (Action<Assembler> access in accesses)
        {
            for (int offset = -32; offset <= 32; offset += TestScale.Count(1) > 1 ? 4 : 12)
            {
                foreach (bool user in (ReadOnlySpan<bool>)[true, false])
                {
                    ulong pointer = place + (ulong)(long)offset;
                    machine.RunClean(
                        a =>
                        {
                            a.mov(rsp, pointer);
                            a.mov(rbp, pointer);
                            a.mov(eax, (int)HostileMachine.Base);
                            access(a);
                            a.hlt();
                            a.syscall();
                        },
                        user,
                        budget: 1);
                    Assert.True(machine.Exceptions.Count == 1, $"rsp 0x{pointer:x}: no exception.");
                    Assert.Contains(machine.Exceptions[0].Vector, new[] { GuestException.StackFault, GuestException.PageFault, GuestException.GeneralProtection });
                }
            }
        }

        Assert.Null(machine.FindDamage());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Calls_MillionsUnreturned_GoOn(bool user)
    {
        using HostileMachine machine = new();
        machine.RunClean(
            a =>
            {
                Label next = a.CreateLabel();
                a.mov(ecx, 2_000_000);
                a.Label(ref next);
                Label target = a.CreateLabel();
                a.call(target);
                a.nop();
                a.Label(ref target);
                a.lea(rsp, __[rsp + 8]);
                a.dec(ecx);
                a.jnz(next);
                a.syscall();
            },
            user);
        Assert.Empty(machine.Exceptions);
        Assert.Equal(0u, machine.Cpu.State->Rcx);
        Assert.Null(machine.FindDamage());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Returns_MillionsWithoutCalls_GoOn(bool user)
    {
        using HostileMachine machine = new();
        machine.RunClean(
            a =>
            {
                Label next = a.CreateLabel();
                Label target = a.CreateLabel();
                a.mov(ecx, 1_000_000);
                a.lea(rbx, __[target]);
                a.Label(ref next);
                a.push(rbx);
                a.ret();
                a.int3();
                a.Label(ref target);
                a.dec(ecx);
                a.jnz(next);
                a.syscall();
            },
            user);
        Assert.Empty(machine.Exceptions);
        Assert.Null(machine.FindDamage());
    }

    [Fact]
    public void FpuImages_AfterFaultyMemoryOperand_HoldNoHostAddress()
    {
        const int Data = (int)HostileMachine.Base + 0x10000;
        using HostileMachine machine = new();
        machine.RunClean(
            a =>
            {
                a.mov(ebx, Data);
                a.fninit();
                a.fld(__qword_ptr[rbx + 0x800]);
                a.fadd(__qword_ptr[rbx + 0x808]);
                a.fxsave64(__[rbx]);
                a.fnstenv(__[rbx + 0x400]);
                a.fld(__qword_ptr[rbx + 0x800]);
                a.fnsave(__[rbx + 0x500]);
                a.fld(__qword_ptr[rbx + 0x800]);
                a.mov(eax, 7);
                a.xor(edx, edx);
                a.xsave64(__[rbx + 0xA00]);
                a.syscall();
            },
            user: false);
        Assert.Empty(machine.Exceptions);
        Assert.Equal(0UL, Word(Data + 8));
        Assert.Equal(0UL, Word(Data + 16));
        Assert.Equal(0UL, Word(Data + 0x40C) & 0xFFFF_FFFF);
        Assert.Equal(0UL, Word(Data + 0x414) & 0xFFFF_FFFF);
        Assert.Equal(0UL, Word(Data + 0x50C) & 0xFFFF_FFFF);
        Assert.Equal(0UL, Word(Data + 0x514) & 0xFFFF_FFFF);
        Assert.Equal(0UL, Word(Data + 0xA08));
        Assert.Equal(0UL, Word(Data + 0xA10));
        Assert.Null(machine.FindLeak(new HostRanges()));

        ulong Word(int address) => *(ulong*)(machine.Memory.RamBase + address);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void UnmaskedExceptions_ThenSyscall_LeaveManagedCodeAlone(bool user)
    {
        using HostileMachine machine = new();
        int syscalls = 0;
        machine.Syscall = () =>
        {
            syscalls++;
            machine.Cpu.RequestStop();
        };
        machine.RunClean(
            a =>
            {
                a.sub(rsp, 64);
                a.mov(__dword_ptr[rsp], 0xE040);
                a.ldmxcsr(__dword_ptr[rsp]);
                a.mov(__dword_ptr[rsp + 8], 0x0C00);
                a.fldcw(__word_ptr[rsp + 8]);
                a.fld1();
                a.fldz();
                a.fdivp(st1, st0);
                a.syscall();
            },
            user);
        Assert.Equal(1, syscalls);
        Assert.Null(machine.FindDamage());
    }
}
