using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Instructions;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Time;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Tests.Machine;

/// <summary>The monitor's parts of a domain over <see cref="FakeProcessor"/>s: 1 MiB of RAM, addresses translated to
/// themselves, vCPU 0 up in kernel mode with a stack and an event callback.</summary>
internal sealed unsafe class TestDomain : IDisposable
{
    public const ulong MemorySize = 1 << 20, Stack = 0x8000, KernelStack = 0xa000, Handlers = 0x4_0000, EventHandler = 0x5_0000,
        SyscallHandler = 0x5_1000, FailsafeHandler = 0x5_2000, Scratch = 0x2_0000, Root = 0x10, UserRoot = 0x11;

    private readonly VcpuTable _table;

    public TestDomain(int vcpuCount = 1, Func<uint, uint, CpuidResult>? host = null)
    {
        Memory = new GuestMemory(MemorySize);
        _table = new VcpuTable(vcpuCount);
        Events = new EventChannels(Memory, vcpuCount, _table);
        StopwatchCounter counter = new();
        Clock = new PvClock(Events.SharedInfo, Events.Vcpus, counter);
        Timers = new VcpuTimers(Clock, Events, _table);
        Processors = new FakeProcessor[vcpuCount];
        Services = new DomainServices
        {
            Memory = Memory,
            Life = Life,
            Events = Events,
            Grants = new GrantTable(Memory),
            Clock = Clock,
            Timers = Timers,
            Vcpus = _table.Vcpus,
            Logger = Log,
            EmergencyConsole = output => ConsoleOutput.AddRange(output),
            StartVcpu = vcpu => Started.Add(vcpu.Index),
            Tlb = new TlbShootdown(_table.Vcpus),
            Balloon = new BalloonAccount(Memory),
        };
        Hypercalls = new HypercallDispatcher(Services, null);
        Cpuid = new CpuidPolicy(host ?? FakeHost.Query, 2_500_000, (1, 0));
        Instructions = new InstructionEmulator(Cpuid, counter.Read);
        for (int index = 0; index < vcpuCount; index++)
        {
            Processors[index] = new FakeProcessor(Memory);
            VcpuContext vcpu = new(index, Memory, Life, Events.Vcpus);
            vcpu.Attach(Processors[index], new VcpuScheduler(vcpu, Events, Timers));
            _table.Vcpus[index] = vcpu;
        }

        Exits = new VcpuExits(Vcpu, Hypercalls, Instructions);
        Vcpu.ThreadId = Environment.CurrentManagedThreadId;
        Vcpu.IsUp = true;
        Vcpu.IsInitialised = true;
        Vcpu.SetRoots(Root, UserRoot);
        Processor.Calls.Clear();
        Vcpu.KernelStackPointer = KernelStack;
        Vcpu.EventCallback = new GuestCallback(EventHandler, true);
        Vcpu.SyscallCallback = new GuestCallback(SyscallHandler, true);
        Vcpu.FailsafeCallback = new GuestCallback(FailsafeHandler, true);
        State->Rip = 0x1000;
        State->Rsp = Stack;
        State->Selectors[Selector.Cs] = Selector.FlatKernelCode;
        State->Selectors[Selector.Ss] = Selector.FlatKernelData;
    }

    public GuestMemory Memory { get; }

    public EventChannels Events { get; }

    public PvClock Clock { get; }

    public VcpuTimers Timers { get; }

    public DomainLife Life { get; } = new();

    public DomainServices Services { get; }

    public HypercallDispatcher Hypercalls { get; }

    public CpuidPolicy Cpuid { get; }

    public InstructionEmulator Instructions { get; }

    public FakeProcessor[] Processors { get; }

    public VcpuExits Exits { get; }

    public List<byte> ConsoleOutput { get; } = [];

    public LogLines Log { get; } = new();

    public List<int> Started { get; } = [];

    public VcpuContext Vcpu => _table.Vcpus[0];

    public IReadOnlyList<VcpuContext> Vcpus => _table.Vcpus;

    public FakeProcessor Processor => Processors[0];

    public VcpuState* State => Processor.State;

    /// <summary>Installs handlers for vectors 0 to 31: vector n at Handlers + n × 16, masking events.</summary>
    public void InstallTraps()
    {
        for (byte vector = 0; vector < 32; vector++)
        {
            Vcpu.Traps.Set(new TrapInfo { Vector = vector, Flags = 4, Address = Handlers + (vector * 16u) });
        }
    }

    public static ulong HandlerOf(byte vector) => Handlers + (vector * 16u);

    public void EnterUserMode()
    {
        Vcpu.SwitchMode(user: true);
        State->Selectors[Selector.Cs] = 0x33;
        State->Selectors[Selector.Ss] = 0x2b;
    }

    /// <summary>Calls without going through registers.</summary>
    public long Call(uint number, ulong a = 0, ulong b = 0, ulong c = 0, ulong d = 0, ulong e = 0) =>
        Hypercalls.Dispatch(Vcpu, number, new HypercallArguments(a, b, c, d, e, 0));

    /// <summary>Decodes the bytes at rip and carries the instruction out.</summary>
    public void Execute(params ReadOnlySpan<byte> code)
    {
        Memory.TryWrite(State->Rip, code);
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(code.ToArray()));
        decoder.IP = State->Rip;
        Instructions.Execute(Vcpu, decoder.Decode());
    }

    public ulong Read64(ulong address)
    {
        Memory.TryRead(address, out ulong value);
        return value;
    }

    public uint Read32(ulong address)
    {
        Memory.TryRead(address, out uint value);
        return value;
    }

    public void Write<T>(ulong address, T value) where T : unmanaged => Memory.TryWrite(address, value);

    /// <summary>Words from rsp upwards.</summary>
    public ulong[] StackWords(int count)
    {
        ulong[] words = new ulong[count];
        for (int i = 0; i < count; i++)
        {
            words[i] = Read64(State->Rsp + ((ulong)i * 8));
        }

        return words;
    }

    public void Dispose()
    {
        Timers.Dispose();
        foreach (VcpuContext vcpu in _table.Vcpus)
        {
            vcpu.Scheduler.Dispose();
        }

        foreach (FakeProcessor processor in Processors)
        {
            processor.Dispose();
        }

        Memory.Dispose();
        Life.Dispose();
    }
}
