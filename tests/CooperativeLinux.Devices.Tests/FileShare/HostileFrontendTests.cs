using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Devices.Tests.Hostile;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Grants;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>A guest that puts anything into the rings, nodes and messages of a share; see <see cref="HostileRun"/>.</summary>
public sealed class HostileFrontendTests(ITestOutputHelper output) : IDisposable
{
    private static readonly string[] s_keys = ["version", "num-rings", "ring-ref0", "ring-ref1", "event-channel-0", "event-channel-1", "tag"];

    private readonly ShareTestFolder _folder = new();

    public void Dispose()
    {
        _folder.AssertOutsideIsUntouched();
        ShareTestFolder.Run("chmod", "-R", "u+rwx", _folder.Path);
        _folder.Dispose();
    }

    [Fact]
    public void Frontend_DoesAnything_OnlyItsDeviceFails()
    {
        Directory.CreateDirectory(_folder.Of("a/b/c"));
        File.CreateSymbolicLink(_folder.Of("link"), _folder.Outside);
        File.CreateSymbolicLink(_folder.Of("up"), "..");
        HostileRun.RepeatFailing(output, Round);
    }

    private int Round(Random random)
    {
        using HostileMachine hostile = new();
        ShareFrontend guest = new(_folder.Path, random.Next(1, 4), hostile.Machine);
        using IDisposable backend = guest.Backend;
        hostile.MayUnplug(guest.Backend, random);
        if (random.Next(10) == 0)
        {
            hostile.SpoilNode(random, ShareFrontend.Front, s_keys);
        }

        hostile.Machine.GuestWrites($"{ShareFrontend.Front}/state", "3");
        SpinWait.SpinUntil(() => guest.Backend.State != XenbusState.InitWait, 5000);

        // The nodes may be such that nobody looks into a ring: not waited for.
        guest.Force(0, new Fields().Add(1u).Add(uint.MaxValue).Add("").Add("").Add(0u).ToMessage(MessageType.Attach, 0), notify: true);
        ushort tag = 1;
        for (int i = random.Next(300); i > 0; i--)
        {
            Act(random, hostile, guest, ref tag);
        }

        return hostile.Finish(guest.Backend);
    }

    private static void Act(Random random, HostileMachine hostile, ShareFrontend guest, ref ushort tag)
    {
        int ring = random.Next(ShareFrontend.Rings);
        switch (random.Next(200))
        {
            case < 120:
                PutRequest(random, guest, ring, ref tag);
                break;
            case < 160:
                guest.Skip(ring);
                break;
            case < 170:
                hostile.SpoilGrant(random);
                break;
            case < 180:
                // The data of both directions, as they lie in the rings.
                Spoil(random, guest.Data[ring], guest.Data[ring].Length);
                guest.Notify(ring);
                break;
            case < 182:
                int[] indices = [ShareFrontend.InConsumer, ShareFrontend.InProducer, ShareFrontend.OutConsumer, ShareFrontend.OutProducer, ShareFrontend.Order];
                guest.Interfaces[ring].WriteIndex(indices[random.Next(indices.Length)], random.Next(2) == 0 ? (uint)random.Next(5000) : (uint)random.NextInt64(uint.MaxValue));
                guest.Notify(ring);
                break;
            case < 183:
                Spoil(random, guest.Interfaces[ring], 200);
                guest.Notify(ring);
                break;
            case < 184:
                hostile.SpoilNode(random, ShareFrontend.Front, s_keys);
                break;
            default:
                guest.Notify(ring);
                break;
        }
    }

    private static void PutRequest(Random random, ShareFrontend guest, int ring, ref ushort tag)
    {
        MessageType type = RandomRequest.Type(random);
        byte[] message = RandomRequest.Compose(type, random).ToMessage(type, tag);

        // A tag in use, a size that is not the message's, or any byte: rarely, since most of it ends the device.
        tag += (ushort)(random.Next(100) == 0 ? 0 : 1);
        if (random.Next(100) == 0)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(message, random.Next(2) == 0 ? (uint)random.Next(40) : (uint)random.NextInt64(uint.MaxValue));
        }
        else if (random.Next(20) == 0)
        {
            message[random.Next(4, message.Length)] = (byte)random.Next(256);
        }

        if (message.Length <= guest.RingSize && (guest.Room(ring) >= message.Length || random.Next(200) == 0))
        {
            guest.Force(ring, message, random.Next(4) != 0);
        }
    }

    private static void Spoil(Random random, GuestPages pages, int length)
    {
        byte[] bytes = new byte[random.Next(1, 200)];
        random.NextBytes(bytes);
        pages.CopyFrom(random.Next(length - bytes.Length + 1), bytes);
    }
}
