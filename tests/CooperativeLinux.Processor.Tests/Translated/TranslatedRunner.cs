using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Translated;

/// <summary>Variations of a translated run that must not change any result.</summary>
internal sealed record RunnerOptions
{
    public ProcessorOptions Processor { get; init; } = new() { Verify = TestScale.Verify };

    /// <summary>Runs in guest kernel mode instead of user mode.</summary>
    public bool KernelMode { get; init; }

    /// <summary>Accessed and dirty bits of the page tables and all cached translations are cleared before every run, and checked after it.</summary>
    public bool CleanPageTables { get; init; }

    /// <summary>Another thread requests polls all the time.</summary>
    public bool AlwaysPoll { get; init; }
}

/// <summary>Runs instructions on a <see cref="Vcpu"/>.</summary>
internal sealed unsafe class TranslatedRunner : IInstructionRunner, IVcpuEnvironment, IDisposable
{
    private const int Rax = 0, SaveOffset = 64;
    private static readonly byte[] RestoreCode = [0x48, 0x0F, 0xAE, 0x08, 0xCC]; // fxrstor64 [rax]; int3
    private static readonly byte[] SaveCode = [0x48, 0x0F, 0xAE, 0x00, 0xCC]; // fxsave64 [rax]; int3
    private static readonly TimeSpan WatchdogPeriod = TimeSpan.FromSeconds(10);

    private readonly RunnerOptions _options;
    private readonly GuestPages _pages;
    private readonly Timer _watchdog;
    private readonly Lock _cpuLock = new();
    private readonly Thread? _poller;
    private volatile bool _disposed;
    private volatile Vcpu _cpu;
    private TestState _state = new();
    private volatile Phase _phase;
    private long _verifiedBefore;
    private long _runs;
    private long _watchedRun = -1;

    public TranslatedRunner(RunnerOptions? options = null)
    {
        _options = options ?? new RunnerOptions();
        _pages = new GuestPages(!_options.CleanPageTables);
        RestoreCode.CopyTo(_pages.HelperCodeBytes);
        SaveCode.CopyTo(_pages.HelperCodeBytes[SaveOffset..]);
        _cpu = CreateCpu();
        if (_options.AlwaysPoll)
        {
            _poller = new Thread(RequestPolls) { IsBackground = true };
            _poller.Start();
        }

        _watchdog = new Timer(_ => StopStuckRun(), null, WatchdogPeriod, WatchdogPeriod);
    }

    private enum Phase
    {
        Idle,
        RestoreX87,
        Case,
        SaveX87,
    }

    /// <summary>What went wrong inside the processor in the last run, or null.</summary>
    public string? Failure { get; private set; }

    /// <summary>Polls answered since the runner was made.</summary>
    public long Polls { get; private set; }

    /// <summary>Blocks that passed the verifier since the runner was made.</summary>
    public long BlocksVerified => _verifiedBefore + _cpu.Statistics.BlocksVerified;

    /// <inheritdoc/>
    public void Run(TestState state)
    {
        _state = state;
        state.Outcome = default;
        Failure = null;
        _pages.Load(state);
        if (_options.CleanPageTables)
        {
            _pages.ClearAccessedAndDirty();
            _cpu.FlushAllTlbs();
        }

        if (state.UsesX87)
        {
            StartHelper(Phase.RestoreX87, GuestPages.HelperCode);
        }
        else
        {
            StartCase();
        }

        Interlocked.Increment(ref _runs);
        try
        {
            _cpu.Run();
            if (_phase != Phase.Idle)
            {
                StoreCase(new Outcome(OutcomeKind.TimedOut));
            }
        }
        catch (InvalidOperationException exception)
        {
            Failure = (exception.InnerException ?? exception).ToString();
            StoreCase(new Outcome(OutcomeKind.Broken));
            Vcpu broken = _cpu;
            lock (_cpuLock)
            {
                _verifiedBefore += broken.Statistics.BlocksVerified;
                _cpu = CreateCpu();
                broken.Dispose();
            }
        }

        _phase = Phase.Idle;
        _pages.Store(state);
        if (_options.CleanPageTables && _pages.FindUnmarkedChange() is string unmarked)
        {
            Failure = unmarked;
            state.Outcome = new Outcome(OutcomeKind.Broken);
        }
    }

    /// <inheritdoc/>
    public void OnException(Vcpu cpu, in GuestException exception)
    {
        switch (_phase)
        {
            case Phase.RestoreX87 when exception.Vector == GuestException.Breakpoint:
                StartCase();
                break;
            case Phase.SaveX87 when exception.Vector == GuestException.Breakpoint:
                _pages.HelperDataBytes[..TestState.X87Size].CopyTo(_state.X87);
                Finish();
                break;
            case Phase.Case:
                bool isPageFault = exception.Vector == GuestException.PageFault;

                // A kernel-mode run is compared with a user-mode one.
                uint code = isPageFault && _options.KernelMode ? exception.ErrorCode ^ 4 : exception.ErrorCode;
                EndCase(new Outcome(OutcomeKind.Exception, exception.Vector, code, isPageFault ? exception.Address : 0));
                break;
            default:
                Failure = $"Exception {exception} in phase {_phase} at {cpu.State->Rip:x}.";
                StoreCase(new Outcome(OutcomeKind.Broken));
                Finish();
                break;
        }
    }

    /// <inheritdoc/>
    public void OnInstruction(Vcpu cpu, in Instruction instruction) => EndCase(new Outcome(OutcomeKind.SystemInstruction));

    /// <inheritdoc/>
    public void OnSyscall(Vcpu cpu) => EndCase(new Outcome(OutcomeKind.Syscall));

    /// <inheritdoc/>
    public void OnPoll(Vcpu cpu) => Polls++;

    /// <inheritdoc/>
    public byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write) => null;

    /// <inheritdoc/>
    public bool IsReserved(ulong address) => false;

    /// <inheritdoc/>
    public void Dispose()
    {
        _disposed = true;
        _poller?.Join();
        _watchdog.Dispose();
        _cpu.Dispose();
        _pages.Dispose();
    }

    private Vcpu CreateCpu()
    {
        Vcpu cpu = new(_pages.Memory, this, _options.Processor);
        cpu.SetRoots(GuestPages.Root, GuestPages.Root);
        cpu.State->UserMode = _options.KernelMode ? 0u : 1u;
        return cpu;
    }

    private void StartHelper(Phase phase, ulong rip)
    {
        _phase = phase;
        if (phase == Phase.RestoreX87)
        {
            _state.X87.CopyTo(_pages.HelperDataBytes);
        }

        _cpu.State->Registers[Rax] = GuestPages.HelperData;
        _cpu.State->Rip = rip;
    }

    private void StartCase()
    {
        _phase = Phase.Case;
        VcpuState* state = _cpu.State;
        for (int i = 0; i < 16; i++)
        {
            state->Registers[i] = _state.Registers[i];
        }

        state->Rip = _state.Rip;
        state->Rflags = _state.Rflags;
        state->FsBase = _state.FsBase;
        state->GsBase = _state.GsBase;
        state->Mxcsr = _state.Mxcsr;
        _state.Vectors.CopyTo(new Span<byte>(state->Vectors, _state.Vectors.Length));
    }

    private void EndCase(Outcome outcome)
    {
        if (_phase != Phase.Case)
        {
            Failure = $"{outcome} in phase {_phase}.";
            outcome = new Outcome(OutcomeKind.Broken);
        }

        StoreCase(outcome);
        if (_state.UsesX87 && outcome.Kind != OutcomeKind.Broken)
        {
            StartHelper(Phase.SaveX87, GuestPages.HelperCode + SaveOffset);
        }
        else
        {
            Finish();
        }
    }

    private void StoreCase(Outcome outcome)
    {
        VcpuState* state = _cpu.State;
        for (int i = 0; i < 16; i++)
        {
            _state.Registers[i] = state->Registers[i];
        }

        _state.Rip = state->Rip;
        _state.Rflags = state->Rflags;
        _state.FsBase = state->FsBase;
        _state.GsBase = state->GsBase;
        _state.Mxcsr = state->Mxcsr;
        new ReadOnlySpan<byte>(state->Vectors, _state.Vectors.Length).CopyTo(_state.Vectors);
        _state.Outcome = outcome;
    }

    private void Finish()
    {
        _phase = Phase.Idle;
        _cpu.RequestStop();
    }

    private void RequestPolls()
    {
        while (!_disposed)
        {
            lock (_cpuLock)
            {
                if (_phase != Phase.Idle)
                {
                    _cpu.RequestPoll();
                }
            }

            Thread.SpinWait(20);
            Thread.Yield();
        }
    }

    private void StopStuckRun()
    {
        long run = Interlocked.Read(ref _runs);
        if (_phase != Phase.Idle && run == _watchedRun)
        {
            _cpu.RequestStop();
        }

        _watchedRun = run;
    }
}
