using System.Numerics;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Store;
using CooperativeLinux.Monitor.Tests.Events;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Store;

public sealed class StoreRingTests : IDisposable
{
    private const ulong Frame = 20;

    private readonly EventFixture _fixture = new();
    private readonly AutoResetEvent _notified = new(false);
    private readonly XenStore _store = new();
    private readonly StoreRing _ring;
    private readonly GuestStoreRing _guest;

    public StoreRingTests()
    {
        DomainNodes.Write(_store, new DomainDescription { Name = "test", Uuid = Guid.NewGuid(), VcpuCount = 1, MemoryKiB = 1024, MaxMemoryKiB = 2048 });
        _fixture.Memory.Frame(Frame).Fill(0xee);
        _ring = new StoreRing(_store, _fixture.Memory, Frame, _fixture.Channels);
        Assert.True(GuestPages.TryCreate(_fixture.Memory, [Frame], out GuestPages? page));
        _guest = new GuestStoreRing(page, _fixture.Channels, _ring.Port, _notified);

        // The guest's handler: acknowledge, so that the next event is an edge again.
        _fixture.OnKick = vcpu =>
        {
            _fixture.Info(vcpu).UpcallPending = 0;
            Interlocked.Exchange(ref _fixture.Info(vcpu).PendingSelector, 0);
            Interlocked.And(ref _fixture.Shared.Pending[0], ~BitOperations.RotateLeft(1UL, (int)_ring.Port));
            _notified.Set();
        };
    }

    public void Dispose()
    {
        _ring.Dispose();
        _fixture.Dispose();
        _notified.Dispose();
    }

    [Fact]
    public void Constructor_PageHadContent_IndicesAndStatusAreZero()
    {
        for (int offset = 2048; offset <= 2072; offset += 4)
        {
            Assert.Equal(0u, _guest.Page.ReadIndex(offset));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => new StoreRing(_store, _fixture.Memory, 1_000_000, _fixture.Channels));
    }

    [Fact]
    public void Request_Read_IsAnsweredWithItsNumber()
    {
        _guest.Send(StoreMessageType.Read, 77, "name\0"u8);

        Assert.Equal((2u, 77u, "test"), _guest.Receive());
    }

    [Fact]
    public void Requests_ManyInARow_AreAnsweredInOrder()
    {
        const int Count = 500;
        Thread sender = new(() =>
        {
            for (uint i = 0; i < Count; i++)
            {
                _guest.Send(StoreMessageType.Write, i, System.Text.Encoding.ASCII.GetBytes($"data/k\0value {i}"));
            }
        });
        sender.Start();

        // Sender and receiver wait for the same event here; a second waiter needs its own wake-ups.
        for (uint i = 0; i < Count; i++)
        {
            Assert.Equal((11u, i, "OK\0"), _guest.Receive());
            _notified.Set();
        }

        sender.Join();
        Assert.Equal("value 499", _store.Read("/local/domain/1/data/k"));
    }

    [Fact]
    public void Request_LargestPayload_GoesThroughTheSmallRing()
    {
        byte[] payload = new byte[4096];
        payload.AsSpan().Fill((byte)'x');
        "data/big\0"u8.CopyTo(payload);

        _guest.Send(StoreMessageType.Write, 5, payload);

        Assert.Equal((16u, 5u, "ENOSPC\0"), _guest.Receive());
        _guest.Send(StoreMessageType.Write, 6, payload.AsSpan(0, 2057));
        Assert.Equal((11u, 6u, "OK\0"), _guest.Receive());
        _guest.Send(StoreMessageType.Read, 7, "data/big\0"u8);
        Assert.Equal(new string('x', 2048), _guest.Receive().Text);
    }

    [Fact]
    public void Request_ByteByByte_IsAssembled()
    {
        byte[] message = [2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, .. "name\0"u8];
        foreach (byte value in message)
        {
            _guest.Send([value]);
        }

        Assert.Equal((2u, 9u, "test"), _guest.Receive());
    }

    [Fact]
    public void Watch_HostWrites_ReachTheGuest()
    {
        _guest.Send(StoreMessageType.Watch, 1, "control/shutdown\0token\0"u8);
        Assert.Equal((4u, 1u, "OK\0"), _guest.Receive());
        Assert.Equal((15u, 0u, "control/shutdown\0token\0"), _guest.Receive());

        new DomainControl(_store).RequestShutdown(ShutdownRequest.Reboot);

        Assert.Equal((15u, 0u, "control/shutdown\0token\0"), _guest.Receive());
        _guest.Send(StoreMessageType.Read, 2, "control/shutdown\0"u8);
        Assert.Equal((2u, 2u, "reboot"), _guest.Receive());
    }

    [Fact]
    public void Guest_ScribblesOverOurIndices_ServiceGoesOn()
    {
        _guest.Send(StoreMessageType.Read, 1, "name\0"u8);
        _guest.Receive();
        uint consumer = _guest.Page.ReadIndex(2048);
        _guest.Page.WriteIndex(2048, 0xdead);
        _guest.Page.WriteIndex(2060, 0xbeef);
        _guest.Page.WriteIndex(2052, consumer);
        _guest.Page.CopyToRing(0, 1024, consumer, [6, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        _guest.Page.WriteIndex(2052, consumer + 17);

        _fixture.Channels.Send(_ring.Port);

        Assert.True(SpinWait.SpinUntil(() => _guest.Page.ReadIndex(2060) == _guest.Page.ReadIndex(2056) + 18, TimeSpan.FromSeconds(10)));
        Assert.Equal((6u, 2u, "1\0"), _guest.Receive());
    }

    [Theory]
    [InlineData(2052, 1025u, 2u)]
    [InlineData(2052, 0x8000_0000u, 2u)]
    [InlineData(2052, uint.MaxValue, 2u)]
    public void Guest_ImpossibleRequestIndex_EndsTheServiceWithAMark(int offset, uint value, uint error)
    {
        _guest.Page.WriteIndex(offset, value);
        _fixture.Channels.Send(_ring.Port);

        Assert.True(SpinWait.SpinUntil(() => _guest.Page.ReadIndex(2072) == error, TimeSpan.FromSeconds(10)));
        Assert.True(_ring.HasFailed);
    }

    [Fact]
    public void Guest_ImpossibleResponseIndex_EndsTheServiceWithAMark()
    {
        _guest.Page.WriteIndex(2056, 5);
        _guest.Send(StoreMessageType.Read, 1, "name\0"u8);

        Assert.True(SpinWait.SpinUntil(() => _guest.Page.ReadIndex(2072) == 2, TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void Guest_ImpossibleLength_EndsTheServiceWithAMark()
    {
        _guest.Send([2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0]);

        Assert.True(SpinWait.SpinUntil(() => _guest.Page.ReadIndex(2072) == 3, TimeSpan.FromSeconds(10)));
        Assert.Equal("test", _store.Read("/local/domain/1/name"));
    }

    [Fact]
    public void Guest_NeverReads_RequestsStopBeingCarriedOut()
    {
        int sent = 0;
        for (; sent < 400; sent++)
        {
            uint producer = _guest.Page.ReadIndex(2052);
            if (!SpinWait.SpinUntil(() => 1024 - (producer - _guest.Page.ReadIndex(2048)) >= 24, TimeSpan.FromMilliseconds(300)))
            {
                break;
            }

            _guest.Page.CopyToRing(0, 1024, producer, [2, 0, 0, 0, (byte)sent, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, .. "name\0"u8]);
            _guest.Page.WriteIndex(2052, producer + 21);
            _fixture.Channels.Send(_ring.Port);
        }

        // 1024 bytes of answers (20 bytes each) and 1024 of requests (21 each) fit, and a message or two in our hands.
        Assert.InRange(sent, 95, 105);
        Assert.False(_ring.HasFailed);
    }
}
