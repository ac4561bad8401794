using CooperativeLinux.Commands;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Devices.Control;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Store;
using CooperativeLinux.Monitor.Time;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux;

/// <summary>One boot of a machine: the domain with its console and xenstore, from the images to the outcome.</summary>
internal sealed class MachineRun : IDisposable
{
    // The first ports that a new domain hands out; start_info names them before the rings are served.
    private const uint StorePort = 1;
    private const uint ConsolePort = 2;

    private readonly HostTimestampCounter _counter;
    private readonly PvDomain _domain;
    private readonly StoreRing _storeRing;
    private readonly BufferedConsoleSink _output;
    private readonly TailSink _tail;
    private readonly MachineDevices _devices;
    private readonly HostSleepWatch _sleepWatch;

    public MachineRun(
        MachineOptions options,
        MachineDisks disks,
        MachineNetwork network,
        CommandChannel? commands,
        KernelImage kernel,
        IReadOnlyList<Stream> initrd,
        IConsoleSink output,
        Action<string>? trace)
    {
        ILogger logger = options.Loggers.CreateLogger("machine");
        Guid uuid = Guid.NewGuid();
        _output = new BufferedConsoleSink(output);
        _counter = new HostTimestampCounter();
        _domain = new PvDomain(
            new PvDomainOptions
            {
                MemorySize = (ulong)options.MemoryBytes,
                Counter = _counter,
                WallClock = options.WallClock,
                Uuid = uuid,
                EmergencyConsole = _output.Write,
                HypercallTrace = trace,
                Processor = options.Processor,
            },
            logger);
        DomainLayout layout = DomainBuilder.Build(
            _domain.Memory,
            kernel,
            new DomainParameters
            {
                MemorySize = (ulong)options.MemoryBytes,
                CommandLine = options.CommandLine,
                InitialRamDisk = initrd,
                StorePort = StorePort,
                ConsolePort = ConsolePort,
            });

        // The builder has cleared shared_info; the guest's time starts now.
        _domain.Clock.Rebase(0);
        Store = new XenStore(logger: logger);
        Control = new DomainControl(Store);
        _storeRing = new StoreRing(Store, _domain.Memory, layout.StoreRingFrame, _domain.Events, logger: logger);
        _tail = new TailSink(_domain.ConsoleTail, _output);
        Console = new ConsoleBackend(_domain.Memory, layout.ConsoleRingFrame, _domain.Events, _tail, logger: logger);
        if (_storeRing.Port != StorePort || Console.Port != ConsolePort)
        {
            throw new InvalidOperationException("The domain's first event channel ports are taken.");
        }

        DomainNodes.Write(
            Store,
            new DomainDescription
            {
                Name = "colinux",
                Uuid = uuid,
                VcpuCount = 1,
                MemoryKiB = (ulong)options.MemoryBytes / 1024,
                MaxMemoryKiB = (ulong)options.MemoryBytes / 1024,
                Console = (layout.ConsoleRingFrame, ConsolePort),
                Store = (layout.StoreRingFrame, StorePort),
            });
        Balancer = new MemoryBalancer(_domain, Store, options.LeastMemoryBytes);
        _sleepWatch = new HostSleepWatch(_domain.Clock, Control, options.WallClock);
        _devices = new MachineDevices(options, new DeviceContext(Store, _domain.Events, _domain.Grants) { Loggers = options.Loggers }, disks, network, commands);
        _domain.Load(layout, StorePort, ConsolePort);
    }

    public ConsoleBackend Console { get; }

    public XenStore Store { get; }

    /// <summary>Asks the guest for things.</summary>
    public DomainControl Control { get; }

    /// <summary>Sets the guest's memory target.</summary>
    public MemoryBalancer Balancer { get; }

    public PvDomain Domain => _domain;

    /// <summary>Runs on the calling thread until the domain ends; everything the guest wrote has been put out then.</summary>
    public DomainOutcome Run()
    {
        // The backend drains its ring for the last time when it is disposed.
        _domain.DrainConsole = Console.Dispose;
        DomainOutcome outcome = _domain.Run();
        _output.Dispose();
        return outcome;
    }

    public void Dispose()
    {
        _sleepWatch.Dispose();
        Balancer.Dispose();
        _devices.Dispose();
        Console.Dispose();
        _storeRing.Dispose();
        _domain.Dispose();
        _output.Dispose();
        _counter.Dispose();
    }

    /// <summary>Keeps the last lines for a report, and passes everything on.</summary>
    private sealed class TailSink(ConsoleTail tail, IConsoleSink next) : IConsoleSink
    {
        public void Write(ReadOnlySpan<byte> output)
        {
            tail.Append(output);
            next.Write(output);
        }
    }
}
