using System.Buffers.Binary;
using CooperativeLinux.Devices.Block;
using CooperativeLinux.Devices.Tests.Hostile;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Domain;
using Microsoft.Extensions.Logging;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Block;

/// <summary>A frontend that writes anything anywhere, at any moment; see <see cref="HostileRun"/>.</summary>
public sealed class HostileFrontendTests : IDisposable
{
    private const int Device = 51712;
    private const string Front = "device/vbd/51712";
    private const int FirstUntouchable = 200, FrameCount = 256;
    private const uint FirstRingFrame = 16, Pages = 4;

    private static readonly string[] s_keys = ["ring-ref", "ring-ref0", "ring-ref1", "ring-page-order", "event-channel", "protocol", "state", "multi-queue-num-queues"];

    private readonly TestMachine _machine = new();
    private readonly CollectingLoggers _loggers = new();
    private readonly MemoryDisk _disk = new();
    private readonly BlockBackend _backend;
    private readonly BlockFrontend _guest;

    public HostileFrontendTests()
    {
        _backend = new BlockBackend(_machine.Context with { Loggers = _loggers }, 0, _disk);
        _backend.Start();
        _guest = new BlockFrontend(_machine, Device, order: 2);
    }

    public void Dispose()
    {
        _backend.Dispose();
        _loggers.Dispose();
        _machine.Dispose();
    }

    [Fact]
    public void Frontend_DoingAnything_HurtsOnlyItself()
    {
        for (int frame = FirstUntouchable; frame < FrameCount; frame++)
        {
            _machine.Memory.Frame((ulong)frame).Fill((byte)frame);
        }

        _disk.IsCached = offset => (offset >> 12) % 2 == 0;
        (int rounds, int failures) = HostileRun.Repeat(TestContext.Current.TestOutputHelper, random =>
        {
            int lines = _loggers.Lines.Count;
            ReconnectDecently();
            for (int i = random.Next(3000); i >= 0 && _backend.State == XenbusState.Connected; i--)
            {
                Misbehave(random);
            }

            bool hasFailed = _backend.State != XenbusState.Connected;
            AssertWorks();
            Assert.DoesNotContain(_loggers.Lines, line => line.Level >= LogLevel.Error);
            Assert.InRange(_loggers.Lines.Count - lines, 0, 3);
            for (int frame = FirstUntouchable; frame < FrameCount; frame++)
            {
                Assert.False(_machine.Memory.Frame((ulong)frame).ContainsAnyExcept((byte)frame), $"frame {frame} was written without a grant");
            }

            return hasFailed ? 1 : 0;
        });
        Assert.InRange(failures, 1, rounds);
    }

    private void AssertWorks()
    {
        ReconnectDecently();
        _machine.Grant(100, 100);
        Assert.Equal(BlockFrontend.Okay, _guest.Do(_guest.Direct(BlockFrontend.Read, 0, BlockFrontend.Segment(100))));
    }

    private void Misbehave(Random random)
    {
        switch (random.Next(1000))
        {
            case < 500:
                PostRequest(random);
                break;
            case < 600:
                ScribbleOnRing(random);
                break;
            case < 800:
                ScribbleOnGrants(random);
                break;
            case < 990:
                _machine.Events.Send(_guest.Port);
                break;
            case < 996:
                _guest.Ring.WriteIndex(random.Next(4) * 4, Number(random));
                break;
            default:
                _machine.GuestWrites($"{Front}/{s_keys[random.Next(s_keys.Length)]}", random.Next(4) == 0 ? "nonsense" : $"{random.Next(8)}");
                break;
        }
    }

    private void PostRequest(Random random)
    {
        byte[] slot = new byte[112];
        random.NextBytes(slot);
        if (random.Next(8) != 0)
        {
            slot[0] = (byte)random.Next(8);
            slot[1] = (byte)random.Next(random.Next(4) == 0 ? 256 : 12);
            slot[3] = (byte)random.Next(3);
            BinaryPrimitives.WriteUInt64LittleEndian(slot.AsSpan(16), random.Next(4) == 0 ? (ulong)random.NextInt64() : (ulong)random.Next(2048));
            for (int offset = 24; offset < slot.Length; offset += 8)
            {
                BlockFrontend.Segment((uint)random.Next(random.Next(4) == 0 ? 600 : 200), random.Next(5), random.Next(9)).CopyTo(slot, offset);
            }
        }

        uint producer = _guest.Ring.ReadIndex(0);
        _guest.Ring.CopyFrom(64 + ((int)(producer % 128) * 112), slot);
        _guest.Ring.WriteIndex(0, producer + 1);

        // Mostly such that the ring is not overrun; else the device is closed all the time.
        if (producer + 1 - _guest.Ring.ReadIndex(8) > 100 && random.Next(50) != 0)
        {
            _machine.Events.Send(_guest.Port);
            SpinWait.SpinUntil(() => _guest.Ring.ReadIndex(0) - _guest.Ring.ReadIndex(8) < 50, 100);
        }
    }

    private void ScribbleOnRing(Random random)
    {
        byte[] bytes = new byte[random.Next(1, 200)];
        random.NextBytes(bytes);
        _guest.Ring.CopyFrom(random.Next(64, _guest.Ring.Length - bytes.Length), bytes);
    }

    private void ScribbleOnGrants(Random random)
    {
        Span<byte> entry = _machine.Memory.Frame(SpecialFrames.GrantTable).Slice(random.Next(512) * 8, 8);
        uint frame = random.Next(8) == 0 ? uint.MaxValue - (uint)random.Next(1000) : (uint)random.Next(FirstUntouchable);
        if (frame is >= FirstRingFrame and < FirstRingFrame + Pages && random.Next(4) != 0)
        {
            return;
        }

        BinaryPrimitives.WriteUInt32LittleEndian(entry, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], frame);
        BinaryPrimitives.WriteUInt32LittleEndian(entry, random.Next(4) == 0 ? (uint)random.Next() : 1);
    }

    private void ReconnectDecently()
    {
        _machine.GuestWrites($"{Front}/state", "6");
        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.Closed, TimeSpan.FromSeconds(20)));
        _machine.GuestWrites($"{Front}/state", "1");
        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.InitWait, TimeSpan.FromSeconds(20)));
        _machine.Events.Close(_guest.Port);
        _machine.GuestWrites($"{Front}/multi-queue-num-queues", "1");
        _guest.Connect();
        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.Connected, TimeSpan.FromSeconds(20)));
    }

    private static uint Number(Random random) => random.Next(2) == 0 ? (uint)random.Next(300) : (uint)random.NextInt64(uint.MaxValue);
}
