using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.User;
using CooperativeLinux.Devices.Tests.Hostile;
using CooperativeLinux.Devices.Xenbus;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>A guest that puts anything into the rings, nodes and frames of its card; see <see cref="HostileRun"/>.</summary>
public sealed class HostileFrontendTests(ITestOutputHelper output)
{
    private const string Front = "device/vif/0";

    private static readonly string[] s_keys = ["tx-ring-ref", "rx-ring-ref", "event-channel", "request-rx-copy", "feature-sg", "feature-gso-tcpv4", "feature-rx-notify"];

    [Fact]
    public void Frontend_DoesAnything_OnlyItsDeviceFails() => HostileRun.RepeatFailing(output, Round);

    private static int Round(Random random)
    {
        using HostileMachine hostile = new();
        TestMachine machine = hostile.Machine;
        using UserNetwork network = new(new UserNetworkOptions { GuestMac = Packets.GuestMac, IsRestricted = true, Loggers = hostile.Loggers });
        using NetworkDevice device = new(machine.Context, 0, network, Packets.GuestMac);
        device.Start();
        hostile.MayUnplug(device, random);
        TestFrontend frontend = new(machine);
        frontend.Connect(() =>
        {
            if (random.Next(10) == 0)
            {
                hostile.SpoilNode(random, Front, s_keys);
            }
        });
        SpinWait.SpinUntil(() => device.State != XenbusState.InitWait, 5000);
        for (int i = random.Next(200); i > 0; i--)
        {
            Act(random, hostile, frontend);
        }

        return hostile.Finish(device);
    }

    private static void Act(Random random, HostileMachine hostile, TestFrontend frontend)
    {
        switch (random.Next(12))
        {
            case 0:
                frontend.PutRequest(
                    (uint)random.Next(600), (ushort)random.Next(random.Next(65536) + 1), (ushort)random.Next(16), (ushort)random.Next(65536), (ushort)random.Next(65536));
                frontend.PublishRequests();
                break;
            case 1:
                byte[] slot = new byte[12];
                random.NextBytes(slot);
                slot[0] = (byte)random.Next(4);
                slot[1] = (byte)random.Next(2);
                frontend.SendFrame(RandomFrame(random), (ushort)random.Next(8), slot, random.Next(100, 4097));
                break;
            case 2:
                // Any content and any index, rarely: it ends the device.
                if (random.Next(20) == 0)
                {
                    byte[] ring = new byte[4096];
                    random.NextBytes(ring);
                    (random.Next(2) == 0 ? frontend.Transmit : frontend.Receive).CopyFrom(random.Next(2) == 0 ? 0 : 64, ring.AsSpan(0, 4032));
                    frontend.Notify();
                }

                break;
            case 3:
                hostile.SpoilGrant(random);
                break;
            case 4:
                frontend.PostPages(random.Next(30));
                break;
            case 5:
                if (random.Next(20) == 0)
                {
                    hostile.SpoilNode(random, Front, s_keys);
                }

                break;
            case 6:
                frontend.Notify();
                break;
            default:
                // What netfront would not send, but well put into the ring.
                frontend.SendFrame(RandomFrame(random), (ushort)(random.Next(2) == 0 ? 3 : 2), null, random.Next(200, 4097));
                break;
        }
    }

    /// <summary>A frame of a kind the network knows, with anything wrong in it.</summary>
    private static byte[] RandomFrame(Random random)
    {
        byte[] payload = new byte[random.Next(random.Next(3000) + 1)];
        random.NextBytes(payload);
        string[] sources = ["10.0.2.15", "10.0.2.2", "0.0.0.0", "10.0.2.255", "127.0.0.1"];
        string[] targets = ["10.0.2.2", "10.0.2.3", "255.255.255.255", "224.0.0.1", "127.0.0.1", "10.0.2.15"];
        string source = sources[random.Next(sources.Length)];
        string target = targets[random.Next(targets.Length)];
        byte[] frame = random.Next(6) switch
        {
            0 => Packets.Udp(source, (ushort)random.Next(100), target, (ushort)random.Next(100), payload),
            1 => Packets.Udp(source, 68, target, 67, payload),
            2 => Packets.Ip("fd00::15", random.Next(2) == 0 ? "fd00::2" : "ff02::1", (byte)random.Next(70), payload, 255),
            3 => Packets.Ip(source, target, (byte)random.Next(20), payload),
            4 => Packets.Echo(source, target, 5, payload),
            _ => [.. payload, .. new byte[14]],
        };
        if (random.Next(2) == 0)
        {
            for (int i = random.Next(4); i >= 0; i--)
            {
                frame[random.Next(Math.Min(frame.Length, 80))] = (byte)random.Next(256);
            }
        }

        return frame;
    }
}
