using System.Buffers.Binary;
using CooperativeLinux.Devices.Block;
using CooperativeLinux.Devices.Tests.Hostile;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Domain;
using Microsoft.Extensions.Logging;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Block;

/// <summary>A guest that puts anything into the ring, nodes and grants of its disk; see <see cref="HostileRun"/>.</summary>
public sealed class HostileFrontendTests(ITestOutputHelper output)
{
    private const int Device = 51712;
    private const string Front = "device/vbd/51712";
    private const uint FirstRingFrame = 16, Pages = 4;

    private static readonly string[] s_keys = ["ring-ref", "ring-ref0", "ring-ref1", "ring-page-order", "event-channel", "protocol", "multi-queue-num-queues"];

    [Fact]
    public void Frontend_DoesAnything_OnlyItsDeviceFails() => HostileRun.RepeatFailing(output, Round);

    private static int Round(Random random)
    {
        using HostileMachine hostile = new();
        using MemoryDisk disk = new() { IsCached = offset => (offset >> 12) % 2 == 0, AreWritesQuick = random.Next(2) == 0 };
        using BlockBackend backend = new(hostile.Machine.Context, 0, disk);
        backend.Start();
        BlockFrontend guest = new(hostile.Machine, Device, order: 2);
        bool isUnplugged = hostile.MayUnplug(backend, random);
        guest.Connect(() =>
        {
            if (random.Next(10) == 0)
            {
                hostile.SpoilNode(random, Front, s_keys);
            }
        });
        SpinWait.SpinUntil(() => backend.State != XenbusState.InitWait, 500);
        for (int i = random.Next(3000); i >= 0 && backend.State == XenbusState.Connected; i--)
        {
            Misbehave(random, hostile, guest);
        }

        if (!isUnplugged)
        {
            AssertWorksAnew(hostile, backend, guest);
        }

        return hostile.Finish(backend, line => line.StartsWith("Disk xvda: the guest sent a request that cannot be carried out: ", StringComparison.Ordinal));
    }

    /// <summary>A driver that is loaded after the other has a disk as if nothing had been.</summary>
    private static void AssertWorksAnew(HostileMachine hostile, BlockBackend backend, BlockFrontend guest)
    {
        hostile.SetState(Front, (int)XenbusState.Closed);
        Assert.True(SpinWait.SpinUntil(() => backend.State == XenbusState.Closed, TimeSpan.FromSeconds(20)));
        hostile.SetState(Front, (int)XenbusState.Initialising);
        Assert.True(SpinWait.SpinUntil(() => backend.State == XenbusState.InitWait, TimeSpan.FromSeconds(20)));
        hostile.Machine.Events.Close(guest.Port);
        guest.Connect();
        Assert.True(SpinWait.SpinUntil(() => backend.State == XenbusState.Connected, TimeSpan.FromSeconds(20)));
        hostile.Machine.Grant(100, 100);
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Read, 0, BlockFrontend.Segment(100))));
    }

    private static void Misbehave(Random random, HostileMachine hostile, BlockFrontend guest)
    {
        switch (random.Next(1000))
        {
            case < 500:
                PostRequest(random, hostile, guest);
                break;
            case < 600:
                ScribbleOnRing(random, guest);
                break;
            case < 800:
                hostile.SpoilGrant(random, FirstRingFrame, random.Next(4) == 0 ? 0 : Pages);
                break;
            case < 990:
                hostile.Machine.Events.Send(guest.Port);
                break;
            case < 996:
                guest.Ring.WriteIndex(random.Next(4) * 4, Number(random));
                break;
            default:
                hostile.SpoilNode(random, Front, s_keys);
                break;
        }
    }

    private static void PostRequest(Random random, HostileMachine hostile, BlockFrontend guest)
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

        uint producer = guest.Ring.ReadIndex(0);
        guest.Ring.CopyFrom(64 + ((int)(producer % 128) * 112), slot);
        guest.Ring.WriteIndex(0, producer + 1);

        // Mostly such that the ring is not overrun; else the device is closed all the time.
        if (producer + 1 - guest.Ring.ReadIndex(8) > 100 && random.Next(50) != 0)
        {
            hostile.Machine.Events.Send(guest.Port);
            SpinWait.SpinUntil(() => guest.Ring.ReadIndex(0) - guest.Ring.ReadIndex(8) < 50, 100);
        }
    }

    private static void ScribbleOnRing(Random random, BlockFrontend guest)
    {
        byte[] bytes = new byte[random.Next(1, 200)];
        random.NextBytes(bytes);
        guest.Ring.CopyFrom(random.Next(64, guest.Ring.Length - bytes.Length), bytes);
    }

    private static uint Number(Random random) => random.Next(2) == 0 ? (uint)random.Next(300) : (uint)random.NextInt64(uint.MaxValue);
}
