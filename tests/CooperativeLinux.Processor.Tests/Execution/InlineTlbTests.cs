using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Processor.Tests.Execution;

/// <summary>Entries of the inline TLB follow the page tables, and go to code that runs often.</summary>
public sealed unsafe class InlineTlbTests
{
    private const ulong Table = 4;
    private const ulong DataEntry = (FlatMachine.Data - FlatMachine.Base) >> 12;
    private static readonly ProcessorOptions s_hot = new() { Verify = true, AlwaysHot = true };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Run_PageMappedElsewhere_ReachesTheNewPage(bool indexed)
    {
        using FlatMachine machine = new(s_hot);
        machine.Memory.TryWrite(FlatMachine.Data, 1111UL);
        machine.Memory.TryWrite(FlatMachine.Data + 0x1000, 2222UL);
        machine.Run(Loads(indexed));
        Assert.Equal(1111UL, machine.Cpu.State->Registers[0]);

        ulong old = FlatMachine.Data | 0x67;
        ulong changed = (FlatMachine.Data + 0x1000) | 0x67;
        machine.Table(Table, DataEntry, changed);
        machine.Cpu.OnPageTableEntryWritten((Table << 12) + (DataEntry * 8), old, changed);
        machine.Cpu.Run();

        Assert.Equal(2222UL, machine.Cpu.State->Registers[0]);
        Assert.Empty(machine.Exceptions);
    }

    [Fact]
    public void Run_PageMadeReadOnly_WriteFaults()
    {
        using FlatMachine machine = new(s_hot);
        machine.Run(a =>
        {
            Label again = a.CreateLabel();
            a.mov(rdi, FlatMachine.Data);
            a.Label(ref again);
            a.inc(__qword_ptr[rdi]);
            a.inc(__qword_ptr[rdi]);
            a.syscall();
            a.jmp(again);
        });
        ulong readOnly = FlatMachine.Data | 0x65;
        machine.Table(Table, DataEntry, readOnly);
        machine.Cpu.OnPageTableEntryWritten((Table << 12) + (DataEntry * 8), FlatMachine.Data | 0x67, readOnly);
        machine.Cpu.Run();

        GuestException fault = Assert.Single(machine.Exceptions);
        Assert.Equal(GuestException.PageFault, fault.Vector);
        Assert.Equal(FlatMachine.Data, fault.Address);
        Assert.True(machine.Memory.TryRead(FlatMachine.Data, out ulong value));
        Assert.Equal(2UL, value);
    }

    [Fact]
    public void Run_OtherAddressSpace_ReachesItsPage()
    {
        using FlatMachine machine = new(s_hot);
        machine.Memory.TryWrite(FlatMachine.Data, 1111UL);
        machine.Memory.TryWrite(FlatMachine.Data + 0x1000, 2222UL);
        machine.Table(5, 0, 0x6000 | 7);
        machine.Table(6, 0, 0x7000 | 7);
        machine.Table(7, 2, 0x8000 | 7);
        for (ulong i = 0; i < 512; i++)
        {
            machine.Table(8, i, (FlatMachine.Base + ((i == DataEntry ? i + 1 : i) * 4096)) | 7);
        }

        machine.Run(Loads(indexed: false));
        ulong first = machine.Cpu.State->Registers[0];
        machine.Cpu.SetRoots(5, 5);
        machine.Cpu.Run();
        ulong second = machine.Cpu.State->Registers[0];
        machine.Cpu.SetRoots(1, 1);
        machine.Cpu.Run();

        Assert.Equal((1111UL, 2222UL, 1111UL), (first, second, machine.Cpu.State->Registers[0]));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(64, true)]
    public void Run_LoopUnderPolls_IsMadeAnew(int pages, bool scattered)
    {
        using FlatMachine machine = new(new ProcessorOptions { Verify = true });
        ProcessorStatistics statistics = machine.Cpu.Statistics;
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));
        using Timer polls = new(
            _ =>
            {
                machine.Cpu.RequestPoll();
                if ((scattered ? statistics.ScatteredBlocks : statistics.HotBlocks) > 0 || limit.IsCancellationRequested)
                {
                    machine.Cpu.RequestStop();
                }
            },
            null, 0, 1);
        machine.Run(a =>
        {
            Label again = a.CreateLabel();
            a.mov(rdi, FlatMachine.Data);
            a.xor(ecx, ecx);
            a.xor(edx, edx);
            a.Label(ref again);
            a.add(rdx, __qword_ptr[rdi + rcx]);
            a.add(ecx, 4096);
            a.and(ecx, (pages * 4096) - 1);
            a.jmp(again);
        });

        Assert.True(statistics.HotBlocks > 0, $"no hot block after {statistics.Samples} samples");
        Assert.Equal(scattered, statistics.ScatteredBlocks > 0);
        Assert.Empty(machine.Exceptions);
    }

    // Loads twice between system calls, each time with a warm entry but for the first.
    private static Action<Assembler> Loads(bool indexed) => a =>
    {
        Label again = a.CreateLabel();
        a.mov(rdi, FlatMachine.Data);
        a.xor(esi, esi);
        a.Label(ref again);
        for (int i = 0; i < 2; i++)
        {
            a.mov(rax, indexed ? __qword_ptr[rdi + (rsi * 8)] : __qword_ptr[rdi]);
        }

        a.syscall();
        a.jmp(again);
    };
}
