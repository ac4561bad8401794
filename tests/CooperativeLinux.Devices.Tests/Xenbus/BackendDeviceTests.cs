using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Xenbus;

public sealed class BackendDeviceTests : IDisposable
{
    private const string Front = "device/vtest/3";
    private const string Back = "/local/domain/0/backend/vtest/1/3";

    private readonly TestMachine _machine = new();
    private readonly TestDevice _device;

    public BackendDeviceTests() => _device = new TestDevice(_machine.Context);

    public void Dispose()
    {
        _device.Dispose();
        _machine.Dispose();
    }

    [Fact]
    public void Start_Nodes_AreThereAtOnceAndReady()
    {
        int halfMade = 0;
        using IDisposable watch = _machine.Store.Watch("/local/domain/1/device", _ =>
        {
            bool isThere = _machine.Store.Exists($"/local/domain/1/{Front}");
            if (isThere && (_machine.Store.Read($"/local/domain/1/{Front}/tag") is null || _machine.Store.Read($"{Back}/state") != "2"))
            {
                Interlocked.Increment(ref halfMade);
            }
        });

        _device.Start();

        Assert.Equal(Back, Read(Front + "/backend"));
        Assert.Equal("0", Read(Front + "/backend-id"));
        Assert.Equal("1", Read(Front + "/state"));
        Assert.Equal("root", Read(Front + "/tag"));
        Assert.Equal("/local/domain/1/" + Front, _machine.Store.Read(Back + "/frontend"));
        Assert.Equal("1", _machine.Store.Read(Back + "/frontend-id"));
        Assert.Equal("1", _machine.Store.Read(Back + "/online"));
        Assert.Equal("2", _machine.Store.Read(Back + "/state"));
        Assert.Equal("1", _machine.Store.Read(Back + "/feature-x"));
        Assert.Equal(0, halfMade);
        Assert.Throws<InvalidOperationException>(_device.Start);
    }

    [Fact]
    public void Frontend_Initialised_ConnectsOnceWithRingAndChannel()
    {
        _device.Start();
        uint port = GuestConnects("3");

        AssertBackend("4");
        _machine.GuestWrites(Front + "/state", "4");
        _machine.Events.Send(port);
        _device.Channel!.Notify();

        Assert.True(_machine.Notified.WaitOne(10_000));
        Assert.Equal(1, _device.Connects);
        Assert.Equal(2, _device.Notifications);
        Assert.Equal(0x1234u, _device.Ring!.ReadIndex(0));
    }

    [Fact]
    public void Frontend_ConnectedOnlyDevice_IgnoresInitialised()
    {
        using TestDevice device = new(_machine.Context, id: 4, connectAt: XenbusState.Connected);
        device.Start();
        _machine.Events.AllocateUnbound(0, out uint port);
        _machine.Grant(9, 10);
        _machine.GuestWrites("device/vtest/4/ring-ref", "9");
        _machine.GuestWrites("device/vtest/4/event-channel", $"{port}");
        _machine.GuestWrites("device/vtest/4/state", "3");
        Thread.Sleep(30);
        Assert.Equal(0, device.Connects);

        _machine.GuestWrites("device/vtest/4/state", "4");

        Assert.True(SpinWait.SpinUntil(() => device.State == XenbusState.Connected, TimeSpan.FromSeconds(10)));
    }

    [Theory]
    [InlineData("ring-ref", null)]
    [InlineData("ring-ref", "")]
    [InlineData("ring-ref", "-1")]
    [InlineData("ring-ref", "99999999999")]
    [InlineData("ring-ref", "8")]
    [InlineData("ring-ref", "0x8")]
    [InlineData("event-channel", "0")]
    [InlineData("event-channel", "4096")]
    [InlineData("event-channel", "77")]
    [InlineData("event-channel", "nonsense")]
    public void Frontend_BadKeys_CloseTheDevice(string key, string? value)
    {
        _device.Start();
        PrepareGuest();
        if (value is null)
        {
            _machine.Store.Remove($"/local/domain/1/{Front}/{key}");
        }
        else
        {
            _machine.GuestWrites($"{Front}/{key}", value);
        }

        _machine.GuestWrites(Front + "/state", "3");

        AssertBackend("5");
        Assert.Equal(_device.Connects, _device.Disconnects);
        Assert.Contains(key, _machine.Store.Read("/local/domain/0/error/backend/vtest/3/error"), StringComparison.Ordinal);
    }

    [Fact]
    public void Frontend_ClosesAndComesBack_ConnectsAgain()
    {
        _device.Start();
        GuestConnects("3");
        AssertBackend("4");

        _machine.GuestWrites(Front + "/state", "5");
        AssertBackend("5");
        Assert.Equal(1, _device.Disconnects);
        _machine.GuestWrites(Front + "/state", "6");
        AssertBackend("6");
        _machine.GuestWrites(Front + "/state", "1");
        AssertBackend("2");
        GuestConnects("3");
        AssertBackend("4");

        Assert.Equal(2, _device.Connects);
        Assert.Equal(1, _device.Disconnects);
    }

    [Fact]
    public void Frontend_DirectoryRemoved_ClosesTheBackend()
    {
        _device.Start();
        GuestConnects("3");
        AssertBackend("4");

        _machine.Store.Remove($"/local/domain/1/{Front}");

        AssertBackend("6");
        Assert.Equal(1, _device.Disconnects);
    }

    [Fact]
    public void OnConnect_Throws_ClosesTheDeviceOnly()
    {
        _device.ConnectError = new InvalidDataException("bug");
        _device.Start();
        GuestConnects("3");

        AssertBackend("5");
        Assert.Equal(1, _device.Disconnects);
    }

    [Fact]
    public void Fail_WhileConnected_DisconnectsAndTells()
    {
        _device.Start();
        GuestConnects("3");
        AssertBackend("4");

        _device.Break("bad request");

        AssertBackend("5");
        Assert.Equal(1, _device.Disconnects);
        Assert.Equal("bad request", _machine.Store.Read("/local/domain/0/error/backend/vtest/3/error"));
        _machine.GuestWrites(Front + "/state", "6");
        AssertBackend("6");
    }

    [Fact]
    public async Task Remove_WillingFrontend_ClosesThenDeletesBoth()
    {
        _device.Start();
        GuestConnects("3");
        AssertBackend("4");
        Task<bool> removal = _device.RemoveAsync(TimeSpan.FromSeconds(10));
        AssertBackend("5");
        Assert.Equal("0", _machine.Store.Read(Back + "/online"));
        Assert.Equal(0, _device.Disconnects);

        _machine.GuestWrites(Front + "/state", "6");

        Assert.True(await removal);
        Assert.Equal(1, _device.Disconnects);
        Assert.False(_machine.Store.Exists(Back));
        Assert.False(_machine.Store.Exists($"/local/domain/1/{Front}"));
    }

    [Fact]
    public async Task Remove_SilentFrontend_GoesAfterPatience()
    {
        _device.Start();
        GuestConnects("3");
        AssertBackend("4");

        Assert.False(await _device.RemoveAsync(TimeSpan.FromMilliseconds(50)));

        Assert.Equal(1, _device.Disconnects);
        Assert.False(_machine.Store.Exists(Back));
    }

    [Fact]
    public async Task Remove_NoDriver_IsImmediate()
    {
        _device.Start();

        Assert.True(await _device.RemoveAsync(TimeSpan.FromSeconds(30)));

        Assert.False(_machine.Store.Exists($"/local/domain/1/{Front}"));
    }

    [Fact]
    public void Dispose_Connected_DisconnectsOnceAndIgnoresTheGuest()
    {
        _device.Start();
        GuestConnects("3");
        AssertBackend("4");

        _device.Dispose();
        _device.Dispose();
        _machine.GuestWrites(Front + "/state", "6");

        Thread.Sleep(20);
        Assert.Equal(1, _device.Disconnects);
        Assert.Equal("4", _machine.Store.Read(Back + "/state"));
    }

    [Fact]
    public void Frontend_RandomStates_ConnectsAndDisconnectsAlternate()
    {
        int seed = Environment.TickCount;
        Random random = new(seed);
        _device.Start();
        for (int i = 0; i < 1500; i++)
        {
            if (random.Next(4) == 0)
            {
                PrepareGuest();
            }

            string[] states = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "-1", "x", string.Empty];
            _machine.GuestWrites(Front + "/state", states[random.Next(states.Length)]);
            if (random.Next(50) == 0)
            {
                Thread.Sleep(1);
            }
        }

        _machine.GuestWrites(Front + "/state", "6");
        AssertBackend("6");
        _machine.GuestWrites(Front + "/state", "1");
        AssertBackend("2");
        GuestConnects("3");
        AssertBackend("4");
        Assert.True(_device.Connects == _device.Disconnects + 1, $"seed {seed}: {_device.Connects} and {_device.Disconnects}");
        Assert.False(_device.HasOverlapped, $"seed {seed}");
    }

    private string? Read(string path) => _machine.Store.Read($"/local/domain/1/{path}");

    private uint PrepareGuest()
    {
        _machine.Grant(9, 10);
        _machine.Memory.Frame(10).Clear();
        _machine.Pages(10).WriteIndex(0, 0x1234);
        Assert.Equal(0, _machine.Events.AllocateUnbound(0, out uint port));
        _machine.GuestWrites(Front + "/ring-ref", "9");
        _machine.GuestWrites(Front + "/event-channel", $"{port}");
        return port;
    }

    private uint GuestConnects(string state)
    {
        uint port = PrepareGuest();
        _machine.GuestWrites(Front + "/state", state);
        return port;
    }

    private void AssertBackend(string state)
    {
        Assert.True(
            SpinWait.SpinUntil(() => _machine.Store.Read(Back + "/state") == state, TimeSpan.FromSeconds(10)),
            $"the backend is in state {_machine.Store.Read(Back + "/state")}, not {state}");
    }

    private sealed class TestDevice(DeviceContext context, int id = 3, XenbusState connectAt = XenbusState.Initialised)
        : BackendDevice(context, "vtest", id)
    {
        private int _notifications;
        private int _isConnected;

        public int Connects { get; private set; }

        public int Disconnects { get; private set; }

        public bool HasOverlapped { get; private set; }

        public int Notifications => Volatile.Read(ref _notifications);

        public GuestPages? Ring { get; private set; }

        public HostChannel? Channel { get; private set; }

        public Exception? ConnectError { get; set; }

        protected override XenbusState ConnectAt => connectAt;

        public void Break(string reason) => Fail(reason);

        protected override void Describe(IDictionary<string, string> frontend, IDictionary<string, string> backend)
        {
            frontend["tag"] = "root";
            backend["feature-x"] = "1";
        }

        protected override void OnConnect()
        {
            Connects++;
            HasOverlapped |= Interlocked.Exchange(ref _isConnected, 1) != 0;
            if (ConnectError is not null)
            {
                throw ConnectError;
            }

            Ring = MapPages("ring-ref");
            Channel = BindChannel("event-channel", () => Interlocked.Increment(ref _notifications));
        }

        protected override void OnDisconnect()
        {
            Disconnects++;
            HasOverlapped |= Interlocked.Exchange(ref _isConnected, 0) != 1;
            Channel?.Dispose();
            Channel = null;
            Ring = null;
        }
    }
}
