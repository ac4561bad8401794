using System.Text;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Memory;
using CooperativeLinux.Monitor.Time;
using CooperativeLinux.Processor.Execution;
using Iced.Intel;
using Microsoft.Extensions.Logging;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Monitor.Tests.Machine;

/// <summary>Small guests on the real processor.</summary>
public sealed class PvDomainTests
{
    private const uint Shutdown = 2, Block = 1, Write = 0;
    private const int PowerOff = 0, Crash = 3;

    [Fact]
    public void Run_GuestPrintsAndPowersOff_EndsOrderly()
    {
        List<byte> console = [];
        using PvDomain domain = Make(output => console.AddRange(output));
        domain.Memory.TryWrite(GuestProgram.Data - GuestProgram.Base, Encoding.ASCII.GetBytes("hello\n"));
        GuestProgram.Load(domain, a =>
        {
            GuestProgram.Hypercall(a, HypercallNumber.ConsoleIo, Write, 6, GuestProgram.Data);
            ShutDown(a, PowerOff);
        });

        DomainOutcome outcome = domain.Run();

        Assert.Equal(DomainOutcomeKind.PowerOff, outcome.Kind);
        Assert.Equal("hello\n", Encoding.ASCII.GetString([.. console]));
        Assert.Empty(outcome.LastConsoleLines);
    }

    [Fact]
    public void Run_GuestPanics_OutcomeTellsWhatItSaid()
    {
        const string Text = "first\nKernel panic - not syncing: test\n";
        using PvDomain domain = Make();
        domain.Memory.TryWrite(GuestProgram.Data - GuestProgram.Base, Encoding.ASCII.GetBytes(Text));
        GuestProgram.Load(domain, a =>
        {
            GuestProgram.Hypercall(a, HypercallNumber.ConsoleIo, Write, (ulong)Text.Length, GuestProgram.Data);
            ShutDown(a, Crash);
        });

        DomainOutcome outcome = domain.Run();

        Assert.Equal(DomainOutcomeKind.Crash, outcome.Kind);
        Assert.Equal("Kernel panic - not syncing: test", outcome.Reason);
        Assert.Equal(["first", "Kernel panic - not syncing: test"], outcome.LastConsoleLines);
        Assert.NotNull(outcome.Registers);
    }

    [Fact]
    public void Run_FaultWithoutHandlers_CrashesWithAddress()
    {
        using PvDomain domain = Make();
        GuestProgram.Load(domain, a =>
        {
            a.mov(rbx, 0x1234_5678_9000UL);
            a.mov(rax, __[rbx]);
        });

        DomainOutcome outcome = domain.Run();

        Assert.Equal(DomainOutcomeKind.Crash, outcome.Kind);
        Assert.Contains("address 0000123456789000", outcome.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_InstructionNotOffered_IsLoggedByNameAndRaisesInvalidOpcode()
    {
        LogLines log = new();
        using PvDomain domain = Make(logger: log);
        GuestProgram.Load(domain, a => a.vpxord(zmm1, zmm2, zmm3));

        DomainOutcome outcome = domain.Run();

        Assert.Equal(DomainOutcomeKind.Crash, outcome.Kind);
        Assert.Equal(
            [$"the guest's kernel used the instruction Vpxord, which this processor does not offer (at 0x{GuestProgram.Code:x})"], log.Lines);
    }

    [Fact]
    public void Note_SameNameAgain_IsLoggedOnce()
    {
        LogLines log = new();
        UndefinedInstructions undefined = new(log);

        undefined.Note("Vpxord", 0x1000, isUserMode: true);
        undefined.Note("Vpxord", 0x2000, isUserMode: false);
        undefined.Note(Vcpu.NoInstruction, 0x3000, isUserMode: true);

        Assert.Equal(
            [
                "a program in the guest used the instruction Vpxord, which this processor does not offer (at 0x1000)",
                "a program in the guest ran into bytes that are no instruction (at 0x3000)",
            ],
            log.Lines);
    }

    [Fact]
    public void Run_GuestReadsMachineToPhysicalTable_GetsFrame()
    {
        using PvDomain domain = Make();
        GuestProgram.Load(domain, a =>
        {
            a.mov(rbx, MachineToPhysical.VirtualBase + (0x4321UL * 8));
            a.mov(rcx, __[rbx]);
            a.mov(rax, GuestProgram.Data);
            a.mov(__[rax], rcx);
            ShutDown(a, PowerOff);
        });

        domain.Run();

        Assert.True(domain.Memory.TryRead(GuestProgram.Data - GuestProgram.Base, out ulong value));
        Assert.Equal(0x4321UL, value);
    }

    [Fact]
    public void Run_IretToUserAndSystemCall_ComesBackThroughCallback()
    {
        const ulong Registration = GuestProgram.Data + 0x100, Operations = GuestProgram.Data + 0x200;
        using PvDomain domain = Make();
        Store(domain, Registration, 2u);
        Store(domain, Operations, 15UL);
        Store(domain, Operations + 8, GuestProgram.UserRoot);
        domain.Memory.TryWrite(GuestProgram.UserCode, GuestProgram.Assemble(
            a =>
            {
                a.mov(eax, 39);
                a.syscall();
            },
            GuestProgram.UserCode));
        GuestProgram.Load(domain, a =>
        {
            Label handler = a.CreateLabel();
            a.lea(rax, __[handler]);
            a.mov(rbx, Registration + 8);
            a.mov(__[rbx], rax);
            GuestProgram.Hypercall(a, HypercallNumber.CallbackOp, 0, Registration);
            GuestProgram.Hypercall(a, HypercallNumber.StackSwitch, 0xe02b, GuestProgram.StackTop);
            a.mov(r10d, 0x7ff0);
            GuestProgram.Hypercall(a, HypercallNumber.MmuExtOp, Operations, 1);
            foreach (int word in new int[] { 0x2b, 0x3_f000, 0x202, 0x33, (int)GuestProgram.UserCode, 0, 0, 0, 0 })
            {
                a.push(word);
            }

            a.mov(eax, HypercallNumber.Iret);
            a.syscall();
            a.ud2();
            a.Label(ref handler);
            a.mov(rbx, GuestProgram.Data);
            a.mov(__[rbx], rax);
            a.pop(rcx);
            a.mov(__[rbx + 8], rcx);
            ShutDown(a, PowerOff);
        });

        DomainOutcome outcome = domain.Run();

        Assert.Equal(DomainOutcomeKind.PowerOff, outcome.Kind);
        Assert.Equal(39UL, Fetch(domain, GuestProgram.Data));
        Assert.Equal(GuestProgram.UserCode + 7, Fetch(domain, GuestProgram.Data + 8));
    }

    [Fact]
    public void Run_BlockedOnTimer_IsWokenAndEntersCallback()
    {
        const ulong Registration = GuestProgram.Data + 0x100, Virq = GuestProgram.Data + 0x200;
        using PvDomain domain = Make();
        Store(domain, Registration, 0UL);
        Store(domain, Virq, 0UL);
        GuestProgram.Load(domain, a =>
        {
            Label handler = a.CreateLabel(), wait = a.CreateLabel();
            a.lea(rax, __[handler]);
            a.mov(rbx, Registration + 8);
            a.mov(__[rbx], rax);
            GuestProgram.Hypercall(a, HypercallNumber.CallbackOp, 0, Registration);
            GuestProgram.Hypercall(a, HypercallNumber.EventChannelOp, 1, Virq);
            GuestProgram.Hypercall(a, HypercallNumber.SetTimerOp, 20_000_000);
            a.Label(ref wait);
            GuestProgram.Hypercall(a, HypercallNumber.SchedOp, Block);
            a.jmp(wait);
            a.Label(ref handler);
            ShutDown(a, PowerOff);
        });

        DomainOutcome outcome = domain.Run();

        Assert.Equal(DomainOutcomeKind.PowerOff, outcome.Kind);
        Assert.True(domain.Clock.NowNs >= 20_000_000);
    }

    [Fact]
    public async Task Stop_GuestInEndlessLoop_ReturnsStopped()
    {
        using PvDomain domain = Make();
        GuestProgram.Load(domain, EndlessLoop);
        Task<DomainOutcome> run = Task.Factory.StartNew(domain.Run, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        await Task.Delay(30, TestContext.Current.CancellationToken);
        domain.Stop("enough");
        DomainOutcome outcome = await run.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);

        Assert.Equal(DomainOutcomeKind.Stopped, outcome.Kind);
        Assert.Equal("enough", outcome.Reason);
    }

    [Fact]
    public async Task Pause_GuestInLoop_StopsAndResumes()
    {
        using PvDomain domain = Make();
        GuestProgram.Load(domain, CountingLoop);
        Task<DomainOutcome> run = Task.Factory.StartNew(domain.Run, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await WaitUntil(() => Fetch(domain, GuestProgram.Data) > 1000);

        domain.Pause();
        await WaitUntil(() => IsSteady(domain));
        ulong paused = Fetch(domain, GuestProgram.Data);
        domain.Resume();
        await WaitUntil(() => Fetch(domain, GuestProgram.Data) > paused);
        domain.Stop();
        await run.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);

        Assert.Equal(DomainOutcomeKind.Stopped, domain.Outcome!.Kind);
    }

    private static void EndlessLoop(Assembler a)
    {
        Label loop = a.CreateLabel();
        a.Label(ref loop);
        a.jmp(loop);
    }

    private static void CountingLoop(Assembler a)
    {
        Label loop = a.CreateLabel();
        a.mov(rbx, GuestProgram.Data);
        a.Label(ref loop);
        a.inc(__qword_ptr[rbx]);
        a.jmp(loop);
    }

    private static bool IsSteady(PvDomain domain)
    {
        ulong before = Fetch(domain, GuestProgram.Data);
        Thread.Sleep(20);
        return before == Fetch(domain, GuestProgram.Data);
    }

    private static async Task WaitUntil(Func<bool> condition)
    {
        for (int i = 0; i < 500 && !condition(); i++)
        {
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        Assert.True(condition());
    }

    private static void ShutDown(Assembler a, int reason)
    {
        const ulong Argument = GuestProgram.Data + 0x800;
        a.mov(rbx, Argument);
        a.mov(__dword_ptr[rbx], reason);
        GuestProgram.Hypercall(a, HypercallNumber.SchedOp, Shutdown, Argument);
    }

    private static void Store<T>(PvDomain domain, ulong address, T value) where T : unmanaged =>
        domain.Memory.TryWrite(address - GuestProgram.Base, value);

    private static ulong Fetch(PvDomain domain, ulong address)
    {
        domain.Memory.TryRead(address - GuestProgram.Base, out ulong value);
        return value;
    }

    private static PvDomain Make(Action<ReadOnlySpan<byte>>? console = null, ILogger? logger = null) => new(
        new PvDomainOptions
        {
            MemorySize = GuestProgram.MemorySize,
            Counter = new StopwatchCounter(),
            EmergencyConsole = console,
            Processor = new ProcessorOptions { Verify = true, CodeCacheSize = 4 << 20 },
        },
        logger);
}
