using CooperativeLinux.Host.Timing;
using CooperativeLinux.Monitor.Events;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Events;

/// <summary>Raising threads against simulated vCPUs that handle events as the kernel does: nothing raised may be lost.</summary>
public sealed class EventStressTests
{
    private const int VcpuCount = 3, PortsPerRaiser = 40, Raisers = 3, Rounds = 6000;

    [Fact]
    public void Raise_ManyThreadsAndMigrations_LosesNoEvent()
    {
        int seed = Environment.TickCount;
        TestContext.Current.SendDiagnosticMessage($"seed {seed}");
        using EventFixture fixture = new(VcpuCount);
        EventChannels channels = fixture.Channels;
        HostChannel[] hosts = [.. Enumerable.Range(0, PortsPerRaiser * Raisers).Select(i => channels.AllocateHostPort(() => { }, i % VcpuCount))];
        int[] work = new int[EventChannels.PortCount];
        SimulatedVcpu[] vcpus = [.. Enumerable.Range(0, VcpuCount).Select(vcpu => new SimulatedVcpu(fixture, vcpu, work, seed + vcpu))];
        fixture.OnKick = vcpu => vcpus[vcpu].Wake.Set();
        Thread[] raisers = [.. Enumerable.Range(0, Raisers).Select(raiser => new Thread(() => Raise(fixture, hosts, work, raiser, seed)))];

        Array.ForEach(vcpus, vcpu => vcpu.Start());
        Array.ForEach(raisers, raiser => raiser.Start());
        Array.ForEach(raisers, raiser => raiser.Join());
        bool isDone = SpinWait.SpinUntil(() => vcpus.Sum(vcpu => vcpu.Handled) == Raisers * Rounds, TimeSpan.FromSeconds(20));
        long handled = vcpus.Sum(vcpu => vcpu.Handled);
        Array.ForEach(vcpus, vcpu => vcpu.Stop());

        Assert.True(isDone, $"seed {seed}: {handled} of {Raisers * Rounds} handled");
    }

    [Fact]
    public void Close_WhileRaising_LeavesNoPendingBit()
    {
        using EventFixture fixture = new();
        EventChannels channels = fixture.Channels;
        using ManualResetEventSlim stop = new();
        HostChannel? current = null;
        Thread raiser = new(() =>
        {
            while (!stop.IsSet)
            {
                Volatile.Read(ref current)?.Notify();
            }
        });
        raiser.Start();
        bool isStale = false;
        for (int i = 0; i < 20_000; i++)
        {
            HostChannel channel = channels.AllocateHostPort(() => { });
            Volatile.Write(ref current, channel);
            channels.Close(channel.Port);
            isStale |= channels.IsPending(channel.Port);
        }

        stop.Set();
        raiser.Join();

        Assert.False(isStale);
        Assert.Equal(0UL, fixture.Shared.Pending[0]);
    }

    private static void Raise(EventFixture fixture, HostChannel[] hosts, int[] work, int raiser, int seed)
    {
        Random random = new(seed + (raiser * 7919));
        for (int round = 0; round < Rounds; round++)
        {
            HostChannel host = hosts[(raiser * PortsPerRaiser) + random.Next(PortsPerRaiser)];
            Interlocked.Increment(ref work[host.Port]);
            host.Notify();
            if (random.Next(16) == 0)
            {
                fixture.Channels.BindVcpu(host.Port, (uint)random.Next(VcpuCount));
            }

            if (random.Next(64) == 0)
            {
                Thread.Yield();
            }
        }
    }

    /// <summary>A vCPU whose "kernel" blocks, takes upcalls, and masks and unmasks ports at random.</summary>
    private sealed class SimulatedVcpu
    {
        private readonly EventFixture _fixture;
        private readonly int _vcpu;
        private readonly int[] _work;
        private readonly Random _random;
        private readonly Thread _thread;
        private readonly PreciseEvent _wake = PreciseEvent.Create();
        private volatile bool _isStopping;
        private long _handled;

        public SimulatedVcpu(EventFixture fixture, int vcpu, int[] work, int seed)
        {
            _fixture = fixture;
            _vcpu = vcpu;
            _work = work;
            _random = new Random(seed);
            _thread = new Thread(Run);
        }

        public PreciseEvent Wake => _wake;

        public long Handled => Interlocked.Read(ref _handled);

        public void Start() => _thread.Start();

        public void Stop()
        {
            _isStopping = true;
            _wake.Set();
            _thread.Join();
            _wake.Dispose();
        }

        private void Run()
        {
            ref VcpuInfo info = ref _fixture.Info(_vcpu);
            while (!_isStopping)
            {
                _fixture.Channels.UnmaskUpcalls(_vcpu);
                while (!_fixture.Channels.HasPendingUpcall(_vcpu) && !_isStopping)
                {
                    _wake.Wait(PreciseEvent.Infinite);
                }

                info.UpcallMask = 1;
                HandleUpcall(ref info);
            }
        }

        private void HandleUpcall(ref VcpuInfo info)
        {
            while (Interlocked.Exchange(ref info.UpcallPending, (byte)0) != 0)
            {
                ulong selector = Interlocked.Exchange(ref info.PendingSelector, 0);
                for (int word = 0; word < 64; word++)
                {
                    if ((selector & (1UL << word)) != 0)
                    {
                        HandleWord(word);
                    }
                }
            }
        }

        private void HandleWord(int word)
        {
            ref SharedInfo shared = ref _fixture.Shared;
            ulong ready = Volatile.Read(ref shared.Pending[word]) & ~Volatile.Read(ref shared.Mask[word]);
            for (; ready != 0; ready &= ready - 1)
            {
                int bit = System.Numerics.BitOperations.TrailingZeroCount(ready);
                uint port = (uint)((word * 64) + bit);
                bool isMasking = _random.Next(4) == 0;
                if (isMasking)
                {
                    Interlocked.Or(ref shared.Mask[word], 1UL << bit);
                }

                Interlocked.And(ref shared.Pending[word], ~(1UL << bit));
                Interlocked.Add(ref _handled, Interlocked.Exchange(ref _work[port], 0));
                if (isMasking)
                {
                    _fixture.Channels.Unmask(port);
                }
            }
        }
    }
}
