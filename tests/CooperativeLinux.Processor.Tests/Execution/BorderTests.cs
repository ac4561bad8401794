using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Execution;

/// <summary>Operands over a page border that are only read, when the TLB knows both pages: then no managed code is needed.</summary>
public sealed unsafe class BorderTests
{
    private const int Rounds = 60;
    private const int Page = 4096;
    private const ulong Border = FlatMachine.Data + Page;

    // The page behind the border is another frame's.
    private const ulong SecondFrame = FlatMachine.Data + (5 * Page);

    [Theory]
    [InlineData(2, false)]
    [InlineData(4, false)]
    [InlineData(8, false)]
    [InlineData(16, false)]
    [InlineData(32, false)]
    [InlineData(8, true)]
    [InlineData(32, true)]
    public void Load_OverBorder_ReadsWhatWasJustWritten(int size, bool hot)
    {
        using FlatMachine machine = new(new ProcessorOptions { Verify = true, AlwaysHot = hot });
        ulong entry = (Border - FlatMachine.Base) / Page;
        machine.Table(4, entry, SecondFrame | 7);
        const int Before = 3;
        ulong address = Border - (ulong)Math.Min(Before, size - 1);

        machine.Run(a =>
        {
            Label loop = a.CreateLabel();
            a.mov(ebx, Rounds);
            a.mov(rdi, address);
            a.mov(rsi, Border);
            a.mov(rcx, 0);
            a.mov(rax, 0x0123456789ABCDEF);
            a.Label(ref loop);
            a.add(rax, rbx);
            a.mov(__qword_ptr[rsi - 8], rax);
            a.mov(__qword_ptr[rsi], rax);
            a.mov(__qword_ptr[rsi + 24], rax);
            a.stc();
            Load(a, size);
            a.sbb(rdx, rdx);
            a.dec(ebx);
            a.jnz(loop);
            a.syscall();
        });

        Assert.Empty(machine.Exceptions);
        byte[] around = new byte[64];
        Assert.True(machine.Memory.TryRead(Border - 8, around.AsSpan(0, 8)));
        Assert.True(machine.Memory.TryRead(SecondFrame, around.AsSpan(8, 56)));
        byte[] expected = around.AsSpan((int)(8 - (Border - address)), size).ToArray();
        byte[] read = size <= 8
            ? BitConverter.GetBytes(machine.Cpu.State->Registers[13])[..size]
            : new ReadOnlySpan<byte>(machine.Cpu.State->Vectors, size).ToArray();
        Assert.Equal(expected, read);
        Assert.Equal(ulong.MaxValue, machine.Cpu.State->Rdx);
        Assert.InRange(machine.Cpu.Statistics.Crossings, 1, 4);
    }

    [Fact]
    public void Load_OverBorderToAbsentPage_Faults()
    {
        using FlatMachine machine = new(new ProcessorOptions { Verify = true });
        ulong entry = (Border - FlatMachine.Base) / Page;
        machine.Run(a =>
        {
            Label again = a.CreateLabel();
            a.mov(rdi, Border - 3);
            a.Label(ref again);
            a.mov(rax, __qword_ptr[rdi]);
            a.mov(rax, __qword_ptr[rdi]);
            a.syscall();
            a.jmp(again);
        });
        machine.Table(4, entry, 0);
        machine.Cpu.OnPageTableEntryWritten((4UL << 12) + (entry * 8), Border | 0x67, 0);
        machine.Cpu.Run();

        GuestException fault = Assert.Single(machine.Exceptions);
        Assert.Equal(GuestException.PageFault, fault.Vector);
        Assert.Equal(Border, fault.Address);
    }

    private static void Load(Assembler a, int size)
    {
        switch (size)
        {
            case 2:
                a.movzx(r13d, __word_ptr[rdi + rcx]);
                break;
            case 4:
                a.mov(r13d, __dword_ptr[rdi + rcx]);
                break;
            case 8:
                a.mov(r13, __qword_ptr[rdi + rcx]);
                break;
            case 16:
                a.movups(xmm0, __xmmword_ptr[rdi + rcx]);
                break;
            default:
                a.vmovups(ymm0, __ymmword_ptr[rdi + rcx]);
                break;
        }
    }
}
