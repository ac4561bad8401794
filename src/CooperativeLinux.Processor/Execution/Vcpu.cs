using System.Runtime.InteropServices;
using CooperativeLinux.Host.Faults;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Processor.Cache;
using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Emission;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Execution;

/// <summary>Kind of a memory access, for permission checks.</summary>
public enum AccessKind
{
    Read,
    Write,
    Execute,
}

/// <summary>One virtual processor: its state, its TLB, its translated code, and the loop that runs it.</summary>
public sealed unsafe partial class Vcpu : IDisposable
{
    /// <summary>Stands for the mnemonic where bytes are no instruction of any x86-64 processor.</summary>
    public const string NoInstruction = "(no instruction)";

    private readonly IVcpuEnvironment _environment;
    private readonly ProcessorOptions _options;
    private readonly CodeMemory _code;
    private readonly EngineState* _engine;
    private readonly GCHandle _handle;
    private readonly FaultDoor _door;
    private readonly Assembler _asm;
    private readonly Stubs _stubs;
    private readonly CodeCache _cache;
    private readonly InstructionPolicy _policy = new();
    private readonly BlockDecoder _decoder;
    private readonly BlockEmitter _emitter;
    private readonly InlineTlb _inline;
    private readonly Mmu _mmu;
    private readonly Interpreter _interpreter;
    private readonly BranchTable _kernelBranches;
    private readonly byte[] _x87 = Interpreter.CreateX87Image();

    // Knows nothing: under the trap flag every branch must come back.
    private readonly BranchTable _noBranches;
    private volatile bool _stop;
    private bool _running;
    private bool _handsOverTimestamp;
    private bool _resetPairs;
    private Exception? _failure;

    /// <param name="memory">Guest memory, shared by all vCPUs of a machine.</param>
    /// <param name="environment">The monitor.</param>
    /// <param name="options">Stress switches and sizes.</param>
    public Vcpu(GuestMemory memory, IVcpuEnvironment environment, ProcessorOptions? options = null)
    {
        Memory = memory;
        _environment = environment;
        _options = options ?? new ProcessorOptions();
        _code = CodeMemory.Create(StateLayout.DataSize, _options.CodeCacheSize);
        State = (VcpuState*)_code.Data;
        _engine = (EngineState*)(_code.Data + StateLayout.EngineOffset);
        _handle = GCHandle.Alloc(this, GCHandleType.Weak);
        _asm = new Assembler(_code.CodeWritable, _code.Code, _code.Data);
        _stubs = new Stubs(_asm, OperatingSystem.IsWindows());
        _asm.StubsEnd = _stubs.End;
        _cache = new CodeCache(_asm, memory, _code, (_stubs.End + 63) & ~63, _stubs.ReturnMiss) { Dropping = OnBlockDropped };
        _decoder = new BlockDecoder(_policy);
        _emitter = new BlockEmitter(_asm, _stubs, _cache, _policy);
        nint missStub = (nint)(_code.Code + _stubs.BranchMiss);
        _kernelBranches = new BranchTable(missStub);
        _noBranches = new BranchTable(missStub);
        _inline = new InlineTlb(_code.Data + StateLayout.InlineTlbOffset, _code.Poison);
        _mmu = new Mmu(memory, _engine, _inline, _code.Poison, missStub) { CodeMappingChanged = OnCodeMappingChanged };
        _interpreter = new Interpreter(this, _engine, _code.Code + _stubs.FpuSave, _code.Code + _stubs.FpuRestore);
        InitialiseState();
        _door = FaultDoor.Register(_code, &_engine->Fault, _code.Code + _stubs.Callback(CallbackKind.Fault));
        memory.CodeWritten += OnCodeWritten;
    }

    /// <summary>The architectural state. Valid while the vCPU does not execute guest code (inside the environment's
    /// handlers, or when <see cref="Run"/> is not running).</summary>
    public VcpuState* State { get; }

    public GuestMemory Memory { get; }

    /// <summary>Whether rdtsc in user mode is handed to <see cref="IVcpuEnvironment.OnInstruction"/> (CR4.TSD is set) instead of being the
    /// host's. Only for the environment's handlers, and while the vCPU does not run.</summary>
    public bool HandsOverTimestamp
    {
        get => _handsOverTimestamp;
        set
        {
            if (_handsOverTimestamp != value)
            {
                _handsOverTimestamp = value;
                FlushCode(user: true);
                _cache.ForgetTemplates();
            }
        }
    }

    /// <summary>Counters for benchmarks and traces.</summary>
    public ProcessorStatistics Statistics { get; } = new();

    /// <summary>Runs guest code on the calling thread, from <see cref="State"/>, until <see cref="RequestStop"/>.</summary>
    /// <exception cref="InvalidOperationException">Already running, or the environment or the processor failed; the inner exception says why.</exception>
    public void Run()
    {
        if (_running)
        {
            throw new InvalidOperationException("The vCPU is already running.");
        }

        _running = true;
        _stop = false;
        _managedThread = Environment.CurrentManagedThreadId;
        try
        {
            _resetPairs = true;
            _stepping = false;
            nint target = Continue();

            // The x87 state is the guest's while it runs, and in the handlers; outside it is the thread's own again.
            _interpreter.ExchangeX87(_x87);
            ((delegate* unmanaged<nint, void>)(_code.Code + _stubs.Enter))(target);
            _interpreter.ExchangeX87(_x87);
        }
        finally
        {
            _running = false;
        }

        if (_failure != null)
        {
            Exception failure = _failure;
            _failure = null;
            throw new InvalidOperationException(failure.Message, failure);
        }
    }

    /// <summary>Asks for <see cref="IVcpuEnvironment.OnPoll"/> soon. Any thread.</summary>
    public void RequestPoll()
    {
        Volatile.Write(ref _engine->PollRequested, 1);
        StopAtNextBlock();
    }

    /// <summary>Makes <see cref="Run"/> return soon, with the state between two instructions. Any thread.</summary>
    public void RequestStop()
    {
        _stop = true;
        RequestPoll();
    }

    /// <summary>Whether a stop was requested; handlers that wait look at it.</summary>
    public bool IsStopRequested => _stop;

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_running)
        {
            throw new InvalidOperationException("The vCPU is running.");
        }

        Memory.CodeWritten -= OnCodeWritten;
        _door.Dispose();
        _mmu.Dispose();
        _cache.Clear();
        _kernelBranches.Dispose();
        _noBranches.Dispose();
        _handle.Free();
        _code.Dispose();
    }

    private void InitialiseState()
    {
        State->Rflags = RflagsBits.Always;
        State->Mxcsr = 0x1F80;
        _engine->DefaultMxcsr = 0x1F80;
        _engine->Handle = GCHandle.ToIntPtr(_handle);
        for (int kind = 0; kind < (int)CallbackKind.Count; kind++)
        {
            _engine->Callbacks[kind] = (ulong)Callbacks.EntryPoint((CallbackKind)kind);
        }

        _engine->BranchTable = (ulong)_kernelBranches.Pointer;
    }
}

/// <summary>Event counts of one vCPU since it was made.</summary>
public sealed class ProcessorStatistics
{
    public long BlocksTranslated { get; internal set; }
    public long BlocksMoved { get; internal set; }
    public long BlocksVerified { get; internal set; }
    public long InstructionsTranslated { get; internal set; }
    public long BlocksDropped { get; internal set; }
    public long AccessMisses { get; internal set; }
    public long StackMisses { get; internal set; }
    public long Links { get; internal set; }
    public long Dispatches { get; internal set; }
    public long PageChecks { get; internal set; }
    public long Polls { get; internal set; }
    public long Syscalls { get; internal set; }
    public long EnvironmentCalls { get; internal set; }
    public long Interpreted { get; internal set; }
    public long CarefulBlocks { get; internal set; }

    /// <summary>Blocks made anew because they run often, and those made once more because accesses of theirs go to many pages.</summary>
    public long HotBlocks { get; internal set; }
    public long ScatteredBlocks { get; internal set; }
    public long Samples { get; internal set; }
    public long CacheFlushes { get; internal set; }
    public long TlbFlushes { get; internal set; }
    public long PageFlushes { get; internal set; }
    public long TableWrites { get; internal set; }
    public long CodeWrites { get; internal set; }
    public long Crossings { get; internal set; }

    /// <summary>Instructions outside the offered set that the guest executed, by name.</summary>
    public Dictionary<string, long> Undefined { get; } = [];
}
