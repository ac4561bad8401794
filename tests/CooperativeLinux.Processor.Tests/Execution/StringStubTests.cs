using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Execution;

/// <summary>Repeated string instructions when the TLB knows their pages: then no managed code is needed.</summary>
public sealed class StringStubTests
{
    private const int Rounds = 50;

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 100)]
    [InlineData(1, 4096)]
    [InlineData(2, 77)]
    [InlineData(4, 512)]
    [InlineData(8, 512)]
    public unsafe void RepMovs_InOnePage_CopiesAndKeepsFlags(int size, int count)
    {
        using FlatMachine machine = new(new ProcessorOptions { Verify = true });
        byte[] source = new byte[8192];
        new Random(size + count).NextBytes(source);
        machine.Memory.TryWrite(FlatMachine.Data, source);

        Run(machine, size, count, copies: true);

        Assert.Empty(machine.Exceptions);
        byte[] copy = new byte[(size * count) + 1];
        Assert.True(machine.Memory.TryRead(FlatMachine.Data + 0x2000, copy));
        Assert.Equal(source[..(size * count)], copy[..^1]);
        Assert.Equal(0, copy[^1]);
        Assert.Equal(FlatMachine.Data + (ulong)(size * count), machine.Cpu.State->Rsi);
        AssertEnd(machine, size * count);
    }

    [Theory]
    [InlineData(1, 33)]
    [InlineData(2, 2048)]
    [InlineData(4, 9)]
    [InlineData(8, 512)]
    public unsafe void RepStos_InOnePage_FillsAndKeepsFlags(int size, int count)
    {
        using FlatMachine machine = new(new ProcessorOptions { Verify = true });

        Run(machine, size, count, copies: false);

        Assert.Empty(machine.Exceptions);
        byte[] filled = new byte[(size * count) + 1];
        Assert.True(machine.Memory.TryRead(FlatMachine.Data + 0x2000, filled));
        Assert.Equal(Enumerable.Range(0, size * count).Select(i => (byte)(0x11 * ((i % size) + 1))), filled[..^1]);
        Assert.Equal(0, filled[^1]);
        AssertEnd(machine, size * count);
    }

    // The same again and again; then CF, which was set before, in rdx.
    private static void Run(FlatMachine machine, int size, int count, bool copies) => machine.Run(assembler =>
    {
        Label loop = assembler.CreateLabel();
        assembler.mov(ebx, Rounds);
        assembler.mov(rax, 0x8877665544332211);
        assembler.Label(ref loop);
        assembler.mov(rsi, FlatMachine.Data);
        assembler.mov(rdi, FlatMachine.Data + 0x2000);
        assembler.mov(ecx, count);
        assembler.stc();
        assembler.AddInstruction((size, copies) switch
        {
            (1, true) => Instruction.CreateMovsb(64, repPrefix: RepPrefixKind.Repe),
            (2, true) => Instruction.CreateMovsw(64, repPrefix: RepPrefixKind.Repe),
            (4, true) => Instruction.CreateMovsd(64, repPrefix: RepPrefixKind.Repe),
            (8, true) => Instruction.CreateMovsq(64, repPrefix: RepPrefixKind.Repe),
            (1, false) => Instruction.CreateStosb(64, RepPrefixKind.Repe),
            (2, false) => Instruction.CreateStosw(64, RepPrefixKind.Repe),
            (4, false) => Instruction.CreateStosd(64, RepPrefixKind.Repe),
            _ => Instruction.CreateStosq(64, RepPrefixKind.Repe),
        });
        assembler.sbb(rdx, rdx);
        assembler.dec(ebx);
        assembler.jnz(loop);
        assembler.syscall();
    });

    private static unsafe void AssertEnd(FlatMachine machine, int bytes)
    {
        Assert.Equal(FlatMachine.Data + 0x2000 + (ulong)bytes, machine.Cpu.State->Rdi);
        Assert.Equal(0UL, machine.Cpu.State->Rcx);
        Assert.Equal(ulong.MaxValue, machine.Cpu.State->Rdx);
        Assert.Equal(0x8877665544332211UL, machine.Cpu.State->Rax);
        Assert.InRange(machine.Cpu.Statistics.Interpreted, 1, 3);
    }
}
