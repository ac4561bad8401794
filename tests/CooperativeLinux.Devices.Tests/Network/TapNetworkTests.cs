using System.Collections.Concurrent;
using System.Diagnostics;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.Tap;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>A TAP interface with the host behind it, where the user may make one.</summary>
public sealed class TapNetworkTests
{
    // Addresses for documentation: no real network has them (RFC 5737).
    private const string HostAddress = "192.0.2.129", GuestAddress = "192.0.2.130";

    [Fact]
    public void Frames_GoBothWays_AndWaitForRoom()
    {
        string name = $"colt{Environment.ProcessId % 100_000}";
        using TapNetwork? network = TryOpen(name);
        Assert.SkipWhen(
            network is null || !Run("addr", "add", HostAddress + "/30", "dev", name) || !Run("link", "set", name, "up"),
            "this user may not make TAP interfaces");
        Port port = new();
        network.Attach(port);
        byte[] question = new byte[Ethernet.HeaderSize + Arp.Size];
        Arp.WriteRequest(question, (Packets.GuestMac, NetworkAddress.Parse(GuestAddress)), NetworkAddress.Parse(HostAddress));

        network.Transmit(question, default);
        (byte[] answer, _) = port.WaitFor(frame => frame[12..14] is [8, 6] && Arp.TryRead(frame.AsSpan(14), out _, out _, out bool isRequest) && !isRequest);
        Assert.True(Arp.TryRead(answer.AsSpan(14), out (MacAddress Mac, NetworkAddress Ip) host, out _, out _));
        Assert.Equal(NetworkAddress.Parse(HostAddress), host.Ip);

        // An echo, with room only after a while.
        port.HasRoom = false;
        byte[] echo = Packets.Echo(GuestAddress, HostAddress, 77, new byte[1000]);
        host.Mac.Write(echo);
        network.Transmit(echo, default);
        Thread.Sleep(100);
        port.HasRoom = true;
        network.OnRoom();
        (byte[] reply, _) = port.WaitFor(frame => frame[12..14] is [8, 0] && frame[23] == IpProtocol.Icmp);
        Assert.Equal(Icmp.EchoReplyV4, reply[34]);
        Assert.Equal(echo.Length, reply.Length);

        // A segment whose checksum only the host completes: it would say nothing to a wrong one.
        byte[] syn = Packets.Tcp(GuestAddress, HostAddress, new Devices.Network.Tcp.TcpHeader(5, 1, 9, 0, Devices.Network.Tcp.TcpFlags.Syn, 100), default);
        ushort partial = InternetChecksum.PseudoHeader(NetworkAddress.Parse(GuestAddress), NetworkAddress.Parse(HostAddress), IpProtocol.Tcp, syn.Length - 34);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(syn.AsSpan(34 + 16), partial);
        host.Mac.Write(syn);
        network.Transmit(syn, new FrameOffload(FrameChecksum.Partial));
        (byte[] refusal, _) = port.WaitFor(frame => frame[12..14] is [8, 0] && frame[23] == IpProtocol.Tcp);
        Assert.Equal(Devices.Network.Tcp.TcpFlags.Reset | Devices.Network.Tcp.TcpFlags.Acknowledge, (Devices.Network.Tcp.TcpFlags)refusal[34 + 13]);
        network.Detach(port);
    }

    [Fact]
    public void Open_InterfaceOfAnotherKind_SaysSo()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "TAP interfaces only exist on Linux");

        NetworkException error = Assert.Throws<NetworkException>(() => new TapNetwork("lo", NullLogger.Instance));

        Assert.DoesNotContain('\n', error.Message);
        Assert.Matches("lo is an interface of another kind than TAP|this user may not|this machine has no TAP", error.Message);
    }

    private static TapNetwork? TryOpen(string name)
    {
        try
        {
            return new TapNetwork(name, NullLogger.Instance);
        }
        catch (NetworkException)
        {
            return null;
        }
    }

    private static bool Run(params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo("ip", arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    private sealed class Port : INetworkPort
    {
        private readonly ConcurrentQueue<(byte[] Frame, FrameOffload Offload)> _frames = new();

        public volatile bool HasRoom = true;

        public bool TakesSegmentationV4 => true;

        public bool TakesSegmentationV6 => true;

        public bool TryDeliver(ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, FrameOffload offload)
        {
            if (HasRoom)
            {
                _frames.Enqueue(([.. headers, .. payload, .. rest], offload));
            }

            return HasRoom;
        }

        public (byte[] Frame, FrameOffload Offload) WaitFor(Predicate<byte[]> isWanted)
        {
            (byte[] Frame, FrameOffload Offload) found = default;
            Assert.True(
                SpinWait.SpinUntil(() => _frames.TryDequeue(out found) && isWanted(found.Frame), TimeSpan.FromSeconds(10)), "the frame does not come");
            return found;
        }
    }
}
