namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>
/// Runs instructions on the real processor, in this process: the pages of <see cref="TestLayout"/> are mapped at their own addresses, all
/// registers are loaded, and the exception that ends the run arrives as a signal. One instance per process. Everything runs until it ends
/// the same way twice: an interrupt can change what a run does, where a kernel does not know wrfsbase and gives a thread its old bases back, or
/// where the machine is itself a guest whose host emulates an instruction now and then.
/// </summary>
internal sealed unsafe class NativeRunner : IInstructionRunner, IDisposable
{
    private const ulong ControlAddress = TestLayout.Low + 0x1000_0000;
    private const ulong ThunkAddress = ControlAddress + NativeControl.TotalSize;
    private const int ThunkSize = 4096;
    private const ulong ResumeFlag = 0x1_0000;
    private const int MostAttempts = 6;
    private static readonly TimeSpan WatchdogPeriod = TimeSpan.FromSeconds(3);

    private readonly Lock _lock = new();
    private readonly TestState _start = new(), _again = new();
    private readonly NativeControl* _control;
    private readonly byte* _memory;
    private readonly delegate* unmanaged<void> _enter;
    private readonly Timer _watchdog;
    private long _runs;
    private long _watchedRun = -1;
    private volatile int _runningThread;

    public NativeRunner()
    {
        _memory = MapPages();
        _control = (NativeControl*)LinuxNativeHost.MapPrivateExecutable(ControlAddress, NativeControl.TotalSize + ThunkSize);
        byte[] code = NativeThunks.Emit(ControlAddress, ThunkAddress, LinuxNativeHost.WatchdogSignal, out NativeThunks.Addresses addresses);
        if (code.Length > ThunkSize)
        {
            throw new InvalidOperationException($"The thunks take {code.Length} bytes.");
        }

        code.CopyTo(new Span<byte>((byte*)ThunkAddress, ThunkSize));
        _enter = (delegate* unmanaged<void>)addresses.Enter;
        _control->ExitAddress = addresses.Exit;
        foreach (int signal in (ReadOnlySpan<int>)[.. LinuxNativeHost.FaultSignals, LinuxNativeHost.WatchdogSignal])
        {
            _control->PreviousHandlers[signal] = LinuxNativeHost.InstallHandler(signal, addresses.Handler);
        }

        _watchdog = new Timer(_ => InterruptStuckRun(), null, WatchdogPeriod, WatchdogPeriod);
    }

    /// <summary>Whether this host can run it.</summary>
    public static bool IsSupported => LinuxNativeHost.IsSupported;

    /// <inheritdoc/>
    public void Run(TestState state)
    {
        lock (_lock)
        {
            _start.CopyFrom(state);
            RunOnce(state);
            for (int attempt = 1; attempt < MostAttempts; attempt++)
            {
                _again.CopyFrom(_start);
                RunOnce(_again);
                if (_again.HasSameContent(state))
                {
                    break;
                }

                state.CopyFrom(_again);
            }
        }
    }

    /// <summary>The signal handlers stay: another handler may have been put in front of them.</summary>
    public void Dispose() => _watchdog.Dispose();

    private void RunOnce(TestState state)
    {
        Load(state);
        Enter();
        Store(state);
    }

    private static byte* MapPages()
    {
        int section = LinuxNativeHost.CreateSection(TestLayout.MemorySize);
        for (int page = 0; page < TestLayout.PageCount; page++)
        {
            PageAccess access = TestLayout.Access(page);
            if (access == PageAccess.Absent)
            {
                continue;
            }

            long offset = (long)TestLayout.Slot(page) * TestLayout.PageSize;
            foreach (ulong view in (ReadOnlySpan<ulong>)[TestLayout.Low, TestLayout.High])
            {
                LinuxNativeHost.MapSection(section, offset, view + ((ulong)page * TestLayout.PageSize), TestLayout.PageSize,
                    access != PageAccess.ReadOnly, access == PageAccess.Code);
            }
        }

        return LinuxNativeHost.MapSection(section, 0, 0, TestLayout.MemorySize, write: true, execute: false);
    }

    private void Load(TestState state)
    {
        for (int i = 0; i < 16; i++)
        {
            _control->Registers[i] = state.Registers[i];
        }

        _control->Rip = state.Rip;
        _control->Rflags = state.Rflags;
        _control->FsBase = state.FsBase;
        _control->GsBase = state.GsBase;
        _control->Mxcsr = state.Mxcsr;
        state.Vectors.CopyTo(new Span<byte>(_control->Vectors, state.Vectors.Length));
        Span<byte> x87 = new(_control->X87, TestState.X87Size);
        state.X87.CopyTo(x87);

        // The image's own mxcsr is loaded first; reserved bits there would fault in the thunk.
        x87.Slice(24, 8).Clear();
        state.Memory.CopyTo(new Span<byte>(_memory, state.Memory.Length));
    }

    private void Enter()
    {
        LinuxNativeHost.GetSignalStack(out _control->SignalStackLow, out _control->SignalStackHigh);
        LinuxNativeHost.SignalSet mask;
        _runningThread = LinuxNativeHost.CurrentThread;
        Interlocked.Increment(ref _runs);

        // SAFETY: the thunk returns through the signal handler on every path. The runtime's own signals are blocked because their handlers
        // would run on the guest's rsp.
        LinuxNativeHost.BlockSignals(&mask);
        _control->Active = 1;
        _enter();
        LinuxNativeHost.RestoreSignals(&mask);
        _runningThread = 0;
    }

    private void Store(TestState state)
    {
        for (int i = 0; i < 16; i++)
        {
            state.Registers[i] = _control->Registers[i];
        }

        state.Rip = _control->Rip;
        state.Rflags = _control->Rflags & ~ResumeFlag;
        state.Mxcsr = _control->Mxcsr;
        new ReadOnlySpan<byte>(_control->Vectors, state.Vectors.Length).CopyTo(state.Vectors);
        new ReadOnlySpan<byte>(_control->X87, TestState.X87Size).CopyTo(state.X87);
        new ReadOnlySpan<byte>(_memory, state.Memory.Length).CopyTo(state.Memory);
        byte vector = (byte)_control->TrapNumber;
        bool isPageFault = vector == 14;
        bool hasErrorCode = vector is 8 or (>= 10 and <= 14) or 17;
        state.Outcome = _control->Signal == LinuxNativeHost.WatchdogSignal
            ? new Outcome(OutcomeKind.TimedOut)
            : new Outcome(OutcomeKind.Exception, vector, hasErrorCode ? (uint)_control->ErrorCode : 0, isPageFault ? _control->FaultAddress : 0);
    }

    private void InterruptStuckRun()
    {
        int thread = _runningThread;
        long run = Interlocked.Read(ref _runs);
        if (thread != 0 && run == _watchedRun)
        {
            LinuxNativeHost.Interrupt(thread);
        }

        _watchedRun = thread != 0 ? run : -1;
    }
}
