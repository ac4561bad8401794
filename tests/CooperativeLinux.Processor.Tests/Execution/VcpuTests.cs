using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;
using RflagsBits = CooperativeLinux.Processor.Execution.RflagsBits;

namespace CooperativeLinux.Processor.Tests.Execution;

public sealed unsafe class VcpuTests
{
    [Fact]
    public void Run_CountingLoop_SumsUp()
    {
        using FlatMachine machine = new();
        machine.Run(a =>
        {
            Label loop = a.CreateLabel();
            a.xor(eax, eax);
            a.mov(ecx, 1000);
            a.Label(ref loop);
            a.add(rax, rcx);
            a.dec(ecx);
            a.jnz(loop);
            a.syscall();
        });
        Assert.Empty(machine.Exceptions);
        Assert.Equal(500500UL, machine.Cpu.State->Rax);
    }

    [Fact]
    public void Run_RecursiveCalls_Return()
    {
        using FlatMachine machine = new();
        machine.Run(a =>
        {
            Label fib = a.CreateLabel();
            Label small = a.CreateLabel();
            a.mov(edi, 15);
            a.call(fib);
            a.syscall();
            a.Label(ref fib);
            a.cmp(edi, 2);
            a.jb(small);
            a.push(rdi);
            a.sub(edi, 1);
            a.call(fib);
            a.pop(rdi);
            a.push(rax);
            a.sub(edi, 2);
            a.call(fib);
            a.pop(r10);
            a.add(rax, r10);
            a.ret();
            a.Label(ref small);
            a.mov(eax, edi);
            a.ret();
        });
        Assert.Empty(machine.Exceptions);
        Assert.Equal(610UL, machine.Cpu.State->Rax);
        Assert.Equal(FlatMachine.StackTop, machine.Cpu.State->Rsp);
    }

    [Theory]
    [InlineData("jmp register")]
    [InlineData("jmp memory")]
    [InlineData("call register")]
    [InlineData("ret")]
    public void Run_IndirectBranchThatFindsAnotherBlockFirst_KeepsFlags(string kind)
    {
        // Two targets share an entry of the branch table, and the one that has it does not need the flags.
        const ulong Low = FlatMachine.Code + 0x2000;
        (ulong target, ulong other) = (
            from low in Enumerable.Range(0, 0x400)
            from high in Enumerable.Range(0x1000, 0xC000)
            let pair = (Target: Low + (ulong)low, Other: Low + (ulong)high)
            where Slot(pair.Target) == Slot(pair.Other)
            select pair).First();
        using FlatMachine machine = new();
        Load(machine, other, a =>
        {
            a.xor(eax, eax);
            a.jmp(rbx);
        });
        Load(machine, target, a =>
        {
            a.pushfq();
            a.pop(rax);
            a.syscall();
        });

        machine.Run(a =>
        {
            Label next = a.CreateLabel();
            a.lea(rbx, __[next]);
            a.mov(rcx, other);
            a.jmp(rcx);
            a.Label(ref next);
            a.mov(rcx, target);
            a.mov(__qword_ptr[FlatMachine.Data], rcx);
            a.mov(edx, 1);
            a.push(rcx);
            a.cmp(edx, 2);
            switch (kind)
            {
                case "jmp register":
                    a.jmp(rcx);
                    break;
                case "jmp memory":
                    a.jmp(__qword_ptr[FlatMachine.Data]);
                    break;
                case "call register":
                    a.call(rcx);
                    break;
                default:
                    a.ret();
                    break;
            }
        });

        // What cmp of 1 with 2 leaves: CF, PF, AF and SF, but not ZF and OF.
        const ulong Expected = RflagsBits.Carry | RflagsBits.Parity | RflagsBits.Auxiliary | RflagsBits.Sign;
        Assert.Empty(machine.Exceptions);
        Assert.Equal(Expected, machine.Cpu.State->Rax & RflagsBits.Arithmetic);

        static uint Slot(ulong address) => System.Runtime.Intrinsics.X86.Sse42.Crc32(0u, (uint)address) & 0x1FFF;
    }

    [Fact]
    public void Run_LoadsAndStores_ReachGuestMemoryOnly()
    {
        using FlatMachine machine = new();
        machine.Run(a =>
        {
            a.mov(rbx, FlatMachine.Data);
            a.mov(r9, 0x1122334455667788);
            a.mov(__[rbx + 8], r9);
            a.mov(r11, 8);
            a.mov(r10, __[rbx + r11]);
            a.add(__qword_ptr[rbx + 8], 1);
            a.mov(ah, __[rbx + 9]);
            a.syscall();
        });
        Assert.Empty(machine.Exceptions);
        Assert.Equal(0x1122334455667788UL, machine.Cpu.State->R10);
        Assert.True(machine.Memory.TryRead(FlatMachine.Data + 8, out ulong stored));
        Assert.Equal(0x1122334455667789UL, stored);
        Assert.Equal(0x77UL, (machine.Cpu.State->Rax >> 8) & 0xFF);
    }

    [Fact]
    public void Run_UnmappedAddress_RaisesPageFault()
    {
        using FlatMachine machine = new();
        machine.Run(a =>
        {
            a.mov(rbx, 0x12345678000);
            a.mov(__dword_ptr[rbx], 5);
            a.syscall();
        });
        GuestException fault = Assert.Single(machine.Exceptions);
        Assert.Equal(GuestException.PageFault, fault.Vector);
        Assert.Equal(6u, fault.ErrorCode);
        Assert.Equal(0x12345678000UL, fault.Address);
        Assert.Equal(FlatMachine.Code + 10, machine.Cpu.State->Rip);
    }

    [Fact]
    public void Run_DivideByZero_RaisesDivideError()
    {
        using FlatMachine machine = new();
        machine.Run(a =>
        {
            a.xor(ecx, ecx);
            a.mov(eax, 5);
            a.div(ecx);
            a.syscall();
        });
        Assert.Equal(GuestException.DivideError, Assert.Single(machine.Exceptions).Vector);
    }

    [Fact]
    public void Run_EndlessLoop_StopsOnRequest()
    {
        using FlatMachine machine = new();
        using Timer timer = new(_ => machine.Cpu.RequestStop(), null, 50, Timeout.Infinite);
        machine.Run(a =>
        {
            Label loop = a.CreateLabel();
            a.Label(ref loop);
            a.jmp(loop);
        });
        Assert.Empty(machine.Exceptions);
        Assert.Equal(FlatMachine.Code, machine.Cpu.State->Rip);
    }

    [Fact]
    public void Run_TwoMachinesOnOneThread_KeepTheirOwnX87State()
    {
        using FlatMachine first = new();
        using FlatMachine second = new();

        // The first stops with a division by zero pending that nothing masks: the next x87 instruction of anybody would fault.
        first.Run(a =>
        {
            a.mov(__word_ptr[FlatMachine.Data], 0x0C00);
            a.fldcw(__word_ptr[FlatMachine.Data]);
            a.fld1();
            a.fldz();
            a.fdivp(st1, st0);
            a.syscall();
            a.fnstcw(__word_ptr[FlatMachine.Data + 8]);
            a.syscall();
        });
        second.Run(a =>
        {
            a.fld1();
            a.fnstcw(__word_ptr[FlatMachine.Data]);
            a.fnstsw(__word_ptr[FlatMachine.Data + 2]);
            a.fistp(__word_ptr[FlatMachine.Data + 4]);
            a.syscall();
        });
        first.Cpu.Run();

        Assert.Empty(first.Exceptions);
        Assert.Empty(second.Exceptions);
        Assert.True(second.Memory.TryRead(FlatMachine.Data, out ulong clean));
        Assert.Equal(0x1_3800_037FUL, clean);
        Assert.True(first.Memory.TryRead(FlatMachine.Data + 8, out ushort control));
        Assert.Equal(0x0C40, control);
    }

    [Fact]
    public void Run_Movsxd16AtTheEndOfRam_ReadsTwoBytes()
    {
        using FlatMachine machine = new();
        ulong lastPage = FlatMachine.Base + (17 * 4096);
        machine.Table(4, 17, (machine.Memory.Size - 4096) | 7);
        machine.Table(4, 18, 0);
        machine.Memory.TryWrite(machine.Memory.Size - 2, (ushort)0x8765);
        machine.Run(a =>
        {
            a.mov(rbx, lastPage + 4094);
            a.xor(eax, eax);
            a.db(0x66, 0x63, 0x03); // movsxd ax,[rbx]
            a.syscall();
        });

        Assert.Empty(machine.Exceptions);
        Assert.Equal(0x8765UL, machine.Cpu.State->Rax);
    }

    /// <summary>One store through the read-only mapping of a live table changes several entries.</summary>
    [Fact]
    public void Run_StoreOverFourTableEntries_ChangesAllFourTranslations()
    {
        const ulong Table = 0xFFFF_FFFF_8000_0000;
        using FlatMachine machine = new();
        machine.Table(1, 511, 0x5000 | 3);
        machine.Table(5, 510, 0x6000 | 3);
        machine.Table(6, 0, 0x7000 | 3);
        machine.Table(7, 0, 0x4000 | 1);
        for (ulong i = 0; i < 4; i++)
        {
            machine.Memory.TryWrite(FlatMachine.Base + ((40 + i) * 4096), 0x100 + i);
            machine.Memory.TryWrite(FlatMachine.Base + ((50 + i) * 4096), 0x200 + i);
            machine.Memory.TryWrite(FlatMachine.Data + (i * 8), (FlatMachine.Base + ((50 + i) * 4096)) | 3);
        }

        machine.Cpu.State->UserMode = 0;
        machine.Run(a =>
        {
            a.mov(ebx, (int)FlatMachine.Base + (40 * 4096));
            a.mov(rdi, Table);
            a.mov(rax, __[rbx]);
            a.add(rax, __[rbx + 4096]);
            a.add(rax, __[rbx + 8192]);
            a.add(rax, __[rbx + 12288]);
            a.vmovdqu(ymm0, __ymmword_ptr[FlatMachine.Data]);
            a.vmovdqu(__ymmword_ptr[rdi + (40 * 8)], ymm0);
            a.mov(rcx, __[rbx]);
            a.add(rcx, __[rbx + 4096]);
            a.add(rcx, __[rbx + 8192]);
            a.add(rcx, __[rbx + 12288]);
            a.syscall();
        });

        Assert.Empty(machine.Exceptions);
        Assert.Equal(0x406UL, machine.Cpu.State->Rax);
        Assert.Equal(0x806UL, machine.Cpu.State->Rcx);
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 0)]
    public void HandsOverTimestamp_SetAfterTranslation_IsForUserModeOnly(bool user, int expected)
    {
        using FlatMachine machine = new();
        const ulong Movable = 0x2_0000_0000;
        machine.Table(2, Movable >> 30, 0x3000 | 7);
        machine.Cpu.State->UserMode = user ? 1u : 0u;
        machine.Cpu.State->Rip = FlatMachine.Code + Movable;
        machine.Run(a =>
        {
            a.rdtsc();
            a.syscall();
        });
        Assert.Empty(machine.Exceptions);

        machine.Cpu.HandsOverTimestamp = true;
        machine.Cpu.State->Rip = FlatMachine.Code + Movable;
        machine.Cpu.Run();

        Assert.Equal(expected, machine.Exceptions.Count);
    }

    private static void Load(FlatMachine machine, ulong address, Action<Assembler> program)
    {
        Assembler assembler = new(64);
        program(assembler);
        using MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        machine.Memory.TryWrite(address, stream.ToArray());
    }
}
