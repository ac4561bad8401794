using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Instructions;
using CooperativeLinux.Monitor.Memory;
using CooperativeLinux.Monitor.Time;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// One PV domain: its memory, vCPUs, event channels, grants and clock. It is used for one boot: fill
/// <see cref="Memory"/>, <see cref="Load"/>, <see cref="Run"/>, dispose; a reboot takes a new object. Members may be called on
/// any thread unless they say otherwise.
/// </summary>
public sealed unsafe partial class PvDomain : IDisposable
{
    private readonly ILogger _logger;
    private readonly DomainLife _life = new();
    private readonly MachineToPhysical _machineToPhysical = new();
    private readonly VcpuTable _table;
    private readonly VcpuTimers _timers;
    private readonly Vcpu[] _processors;
    private readonly VcpuExits[] _exits;
    private readonly Thread?[] _threads;
    private readonly Lock _threadLock = new();
    private readonly BalloonAccount _balloon;
    private bool _isLoaded;

    /// <summary>Makes a domain with zero-filled memory.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A size or count is out of range.</exception>
    /// <exception cref="OutOfMemoryException">The host gives no such amount of address space.</exception>
    public PvDomain(PvDomainOptions options, ILogger? logger = null)
    {
        int count = options.VcpuCount;
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, VcpuInfoTable.MaxVcpus, nameof(options));
        _logger = logger ?? NullLogger.Instance;
        Memory = new GuestMemory(options.MemorySize);
        _balloon = new BalloonAccount(Memory);
        _table = new VcpuTable(count);
        Events = new EventChannels(Memory, count, _table);
        Grants = new GrantTable(Memory);
        Clock = new PvClock(Events.SharedInfo, Events.Vcpus, options.Counter, options.WallClock);
        _timers = new VcpuTimers(Clock, Events, _table);
        _processors = new Vcpu[count];
        _exits = new VcpuExits[count];
        _threads = new Thread?[count];

        DomainServices services = new()
        {
            Memory = Memory,
            Life = _life,
            Events = Events,
            Grants = Grants,
            Clock = Clock,
            Timers = _timers,
            Vcpus = _table.Vcpus,
            Logger = _logger,
            EmergencyConsole = output =>
            {
                ConsoleTail.Append(output);
                options.EmergencyConsole?.Invoke(output);
            },
            StartVcpu = StartVcpu,
            Tlb = new TlbShootdown(_table.Vcpus),
            Balloon = _balloon,
            Uuid = options.Uuid,
        };
        HypercallTracer? tracer = options.HypercallTrace is { } trace ? new HypercallTracer(trace) : null;
        HypercallDispatcher hypercalls = new(services, tracer);
        CpuidPolicy cpuid = CpuidPolicy.ForHost((uint)options.Counter.Kilohertz, (Clock.Scale.Multiplier, Clock.Scale.Shift));
        InstructionEmulator instructions = new(cpuid, options.Counter.Read);
        UndefinedInstructions undefined = new(_logger);
        for (int index = 0; index < count; index++)
        {
            VcpuEnvironment environment = new(_machineToPhysical, undefined);
            Vcpu processor = new(Memory, environment, options.Processor);
            VcpuContext vcpu = new(index, Memory, _life, Events.Vcpus);
            vcpu.Attach(new VcpuAdapter(processor), new VcpuScheduler(vcpu, Events, _timers));
            _exits[index] = new VcpuExits(vcpu, hypercalls, instructions);
            environment.Connect(_exits[index]);
            _processors[index] = processor;
            Volatile.Write(ref _table.Vcpus[index], vcpu);
        }

        _life.Ended += StopVcpus;
        _life.Pausing += InterruptVcpus;
    }

    /// <summary>The domain's RAM and special frames.</summary>
    public GuestMemory Memory { get; }

    /// <summary>The domain's event channels.</summary>
    public EventChannels Events { get; }

    /// <summary>The domain's grants.</summary>
    public GrantTable Grants { get; }

    /// <summary>The domain's time.</summary>
    public PvClock Clock { get; }

    /// <summary>The last lines of output; whoever serves the console ring appends its output too.</summary>
    public ConsoleTail ConsoleTail { get; } = new();

    /// <summary>Bytes of RAM the guest has at present: without what it has given back.</summary>
    public ulong PresentMemory => _balloon.PresentFrames * GuestMemory.PageSize;

    /// <summary>Called after the last guest instruction, before the outcome is put together: lets the console ring be
    /// drained.</summary>
    public Action? DrainConsole { get; set; }

    /// <summary>How the domain ended; null while it lives.</summary>
    public DomainOutcome? Outcome => _life.Outcome;

    /// <summary>Sets vCPU 0 to the start of a built domain and starts the clock. Once, before <see cref="Run"/>; the rings of
    /// <paramref name="layout"/> must be served by then.</summary>
    /// <param name="layout">What the domain builder put into <see cref="Memory"/>.</param>
    /// <param name="storePort">The guest's event channel port for xenstore; written to start_info.</param>
    /// <param name="consolePort">The one for the console; 0: no console.</param>
    public void Load(DomainLayout layout, uint storePort, uint consolePort)
    {
        if (_isLoaded)
        {
            throw new InvalidOperationException("The domain has been loaded already.");
        }

        const ulong StorePortOffset = 64, ConsolePortOffset = 80;
        ulong startInfo = layout.StartInfoFrame * GuestMemory.PageSize;
        if (!Memory.TryWrite(startInfo + StorePortOffset, storePort) || !Memory.TryWrite(startInfo + ConsolePortOffset, consolePort))
        {
            throw new ArgumentException("The layout is not one of this domain's memory.", nameof(layout));
        }

        VcpuContext vcpu = _table.Vcpus[0];
        VcpuState* state = vcpu.State;
        state->Rip = layout.EntryPoint;
        state->Rsp = layout.StackPointer;
        state->Rsi = layout.StartInfoAddress;
        state->Rflags = InitialState.Rflags;
        state->Mxcsr = InitialState.Mxcsr;
        state->UserMode = 0;
        state->Selectors[Selector.Cs] = Selector.FlatKernelCode;
        state->Selectors[Selector.Ss] = Selector.FlatKernelData;
        vcpu.KernelStackPointer = layout.StackPointer;
        vcpu.SetRoots(layout.TopTableFrame, 0);
        foreach (PageTableFrame table in layout.PageTables)
        {
            vcpu.Processor.MarkPageTable(table.Frame, table.Level);
        }

        // The builder has put shared_info into its first state, without time values.
        Clock.Rebase(0);
        vcpu.IsInitialised = true;
        vcpu.IsUp = true;
        _isLoaded = true;
    }

    /// <summary>Runs the domain until it ends; vCPU 0 on the calling thread. Once.</summary>
    public DomainOutcome Run()
    {
        if (!_isLoaded)
        {
            throw new InvalidOperationException("The domain has not been loaded.");
        }

        RunVcpu(0);
        JoinVcpus();
        DrainConsole?.Invoke();
        return CompleteOutcome(_life.Outcome!);
    }

    /// <summary>Ends the domain from outside, at once; <see cref="Run"/> returns <see cref="DomainOutcomeKind.Stopped"/>.</summary>
    public void Stop(string reason = "") => _life.End(new DomainOutcome(DomainOutcomeKind.Stopped, reason));

    /// <summary>Stops guest code soon, until <see cref="Resume"/>. Devices go on.</summary>
    public void Pause() => _life.Pause();

    /// <summary>Goes on after <see cref="Pause"/>.</summary>
    public void Resume() => _life.Resume();

    /// <summary>Sends a non-maskable interrupt, which makes a Linux guest report its state.</summary>
    public void SendNmi(int vcpu = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)vcpu, (uint)_processors.Length, nameof(vcpu));
        _table.Vcpus[vcpu].NmiPending = true;
        _table.Vcpus[vcpu].Kick();
    }

    /// <summary>Registers of a vCPU; exact only while the domain is paused or has ended.</summary>
    public RegisterSnapshot Registers(int vcpu = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)vcpu, (uint)_processors.Length, nameof(vcpu));
        return RegisterSnapshot.Take(_table.Vcpus[vcpu]);
    }

    /// <summary>Counters of a vCPU's processor.</summary>
    public ProcessorStatistics Statistics(int vcpu = 0) => _processors[vcpu].Statistics;

    /// <summary>Hypercalls so far by name, most frequent first, those of all vCPUs together.</summary>
    public IReadOnlyList<(string Name, long Count)> HypercallCounts() =>
        AddUp(static exits => exits.HypercallCounts, static number => HypercallNumber.Name((uint)number));

    /// <summary>Instructions the monitor carried out so far by mnemonic, most frequent first, those of all vCPUs together.</summary>
    public IReadOnlyList<(string Name, long Count)> InstructionCounts() =>
        AddUp(static exits => exits.InstructionCounts, static number => ((Iced.Intel.Mnemonic)number).ToString());

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop();
        JoinVcpus();
        _timers.Dispose();
        for (int index = 0; index < _processors.Length; index++)
        {
            _table.Vcpus[index].Scheduler.Dispose();
            _processors[index].Dispose();
        }

        _machineToPhysical.Dispose();
        Memory.Dispose();
        _life.Dispose();
    }

    private List<(string Name, long Count)> AddUp(Func<VcpuExits, long[]> counts, Func<int, string> name)
    {
        Dictionary<string, long> sums = [];
        foreach (VcpuExits exits in _exits)
        {
            long[] values = counts(exits);
            for (int number = 0; number < values.Length; number++)
            {
                if (values[number] != 0)
                {
                    sums[name(number)] = sums.GetValueOrDefault(name(number)) + values[number];
                }
            }
        }

        return [.. sums.OrderByDescending(static entry => entry.Value).Select(static entry => (entry.Key, entry.Value))];
    }

    private void RunVcpu(int index)
    {
        VcpuContext vcpu = _table.Vcpus[index];
        vcpu.ThreadId = Environment.CurrentManagedThreadId;
        try
        {
            // Events raised before the vCPU had a thread.
            _processors[index].RequestPoll();
            while (!_life.HasEnded)
            {
                _processors[index].Run();
            }
        }
        catch (InvalidOperationException failure)
        {
            LogFailure(_logger, failure, index);
            vcpu.Crash($"the processor failed: {failure.Message}");
        }
    }

    private void StartVcpu(VcpuContext vcpu)
    {
        lock (_threadLock)
        {
            if (_life.HasEnded)
            {
                return;
            }

            if (vcpu.Index == 0 || _threads[vcpu.Index] is not null)
            {
                vcpu.Kick();
                return;
            }

            const int StackSize = 16 << 20;
            Thread thread = new(() => RunVcpu(vcpu.Index), StackSize) { IsBackground = true, Name = $"vCPU {vcpu.Index}" };
            _threads[vcpu.Index] = thread;
            thread.Start();
        }
    }

    private void JoinVcpus()
    {
        lock (_threadLock)
        {
            // No new one can start: the domain has ended.
        }

        foreach (Thread? thread in _threads)
        {
            thread?.Join();
        }
    }

    private void StopVcpus()
    {
        foreach (VcpuContext vcpu in _table.Vcpus)
        {
            vcpu.Processor.RequestStop();
            vcpu.Scheduler.TryWake();
        }
    }

    private void InterruptVcpus()
    {
        foreach (VcpuContext vcpu in _table.Vcpus)
        {
            vcpu.Kick();
        }
    }

    private DomainOutcome CompleteOutcome(DomainOutcome outcome)
    {
        string? panic = ConsoleTail.Panic;
        return outcome with
        {
            Panic = panic,
            Reason = outcome.Kind == DomainOutcomeKind.Crash && panic is not null ? panic : outcome.Reason,
            LastConsoleLines = outcome.Kind == DomainOutcomeKind.Crash || panic is not null ? ConsoleTail.Lines() : [],
        };
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "the processor of vCPU {Vcpu} failed")]
    private static partial void LogFailure(ILogger logger, Exception failure, int vcpu);
}
