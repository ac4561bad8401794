using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.User;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class UserNetworkTests
{
    [Theory]
    [InlineData("10.0.2.2", true)]
    [InlineData("10.0.2.3", true)]
    [InlineData("10.0.2.15", false)]
    [InlineData("10.0.2.9", false)]
    public void Arp_Request_IsAnsweredForHostAndNameServer(string target, bool isAnswered)
    {
        using UserNetwork network = Create();
        TestGuest guest = new(network);
        byte[] frame = new byte[42];
        Arp.WriteRequest(frame, (Packets.GuestMac, NetworkAddress.Parse(TestGuest.V4)), NetworkAddress.Parse(target));

        guest.Transmit(frame);

        if (!isAnswered)
        {
            Assert.True(guest.HearsNothing());
            return;
        }

        byte[] answer = guest.WaitForFrame();
        Assert.True(Arp.TryRead(answer.AsSpan(14), out (MacAddress Mac, NetworkAddress Ip) sender, out NetworkAddress asker, out bool isRequest));
        Assert.False(isRequest);
        Assert.Equal((Packets.GatewayMac, NetworkAddress.Parse(target)), sender);
        Assert.Equal(NetworkAddress.Parse(TestGuest.V4), asker);
        Assert.Equal(Packets.GuestMac, MacAddress.Read(answer));
    }

    [Theory]
    [InlineData(TestGuest.V4, "10.0.2.2", Icmp.EchoReplyV4)]
    [InlineData(TestGuest.V4, "10.0.2.3", Icmp.EchoReplyV4)]
    [InlineData(TestGuest.V6, "fd00::2", Icmp.EchoReplyV6)]
    [InlineData("fe80::216:3eff:fe00:1", "fe80::2", Icmp.EchoReplyV6)]
    public void Echo_ToTheGateway_ComesBack(string source, string target, byte reply)
    {
        using UserNetwork network = Create();
        TestGuest guest = new(network);

        guest.Transmit(Packets.Echo(source, target, 0x1234, "abcdefgh"u8));

        ReadOnlySpan<byte> message = Payload(guest.WaitForFrame(), out IpPacket packet);
        Assert.Equal(NetworkAddress.Parse(target), packet.Source);
        Assert.Equal(NetworkAddress.Parse(source), packet.Target);
        Assert.Equal(reply, message[0]);
        Assert.Equal(0x1234, BinaryPrimitives.ReadUInt16BigEndian(message[4..]));
        Assert.Equal("abcdefgh"u8, message[8..]);
        Assert.True(packet.Source.IsV4 ? InternetChecksum.Sum(message) == 0xffff : packet.HasGoodChecksum());
    }

    public static bool MayPing => OutsideAddress() is IPAddress outside && MaySendEchoes(outside);

    [Fact(SkipUnless = nameof(MayPing), Skip = "the host has no address but loopback, or lets nobody send echo requests")]
    public void Echo_ToOutside_ComesBackEveryTime()
    {
        IPAddress? outside = OutsideAddress();
        using UserNetwork network = Create();
        TestGuest guest = new(network);
        for (byte number = 1; number <= 3; number++)
        {
            guest.Transmit(Packets.Echo(TestGuest.V4, outside!.ToString(), 0x1234, [number, 1, 2, 3, 4, 5, 6, 7]));

            ReadOnlySpan<byte> message = Payload(guest.WaitForFrame(), out IpPacket packet);
            Assert.Equal(NetworkAddress.Of(outside), packet.Source);
            Assert.Equal(Icmp.EchoReplyV4, message[0]);
            Assert.Equal(0x1234, BinaryPrimitives.ReadUInt16BigEndian(message[4..]));
            Assert.Equal(number, message[8]);
        }
    }

    [Fact]
    public void RouterSolicitation_Answer_HasPrefixRouterAndNameServer()
    {
        using UserNetwork network = Create();
        TestGuest guest = new(network);
        byte[] message = [133, 0, 0, 0, 0, 0, 0, 0];
        Icmp.Seal(message, NetworkAddress.Parse("fe80::1:2"), NetworkAddress.Parse("ff02::2"));

        guest.Transmit(Packets.Ip("fe80::1:2", "ff02::2", IpProtocol.IcmpV6, message, hopLimit: 255));

        ReadOnlySpan<byte> answer = Payload(guest.WaitForFrame(), out IpPacket packet);
        Assert.True(packet.HasGoodChecksum());
        Assert.Equal(255, packet.HopLimit);
        Assert.Equal(134, answer[0]);
        Assert.True(BinaryPrimitives.ReadUInt16BigEndian(answer[6..]) > 0);
        Dictionary<byte, byte[]> options = [];
        for (ReadOnlySpan<byte> rest = answer[16..]; !rest.IsEmpty; rest = rest[(rest[1] * 8)..])
        {
            options.Add(rest[0], rest[..(rest[1] * 8)].ToArray());
        }

        Assert.Equal(NetworkAddress.Parse("fd00::"), NetworkAddress.ReadV6(options[3].AsSpan(16)));
        Assert.Equal(NetworkAddress.Parse("fd00::3"), NetworkAddress.ReadV6(options[25].AsSpan(8)));
        Assert.Equal(Packets.GatewayMac, MacAddress.Read(options[1].AsSpan(2)));
        Assert.Equal(1500u, BinaryPrimitives.ReadUInt32BigEndian(options[5].AsSpan(4)));
    }

    [Theory]
    [InlineData("fd00::15", "fd00::2", "fd00::15")]
    [InlineData("::", "fd00::3", "ff02::1")]
    public void NeighbourSolicitation_Gateway_Answers(string source, string wanted, string receiver)
    {
        using UserNetwork network = Create();
        TestGuest guest = new(network);
        byte[] message = new byte[24];
        message[0] = 135;
        NetworkAddress.Parse(wanted).Write(message.AsSpan(8));
        Icmp.Seal(message, NetworkAddress.Parse(source), NetworkAddress.Parse("ff02::1:ff00:2"));

        guest.Transmit(Packets.Ip(source, "ff02::1:ff00:2", IpProtocol.IcmpV6, message, hopLimit: 255));

        ReadOnlySpan<byte> answer = Payload(guest.WaitForFrame(), out IpPacket packet);
        Assert.True(packet.HasGoodChecksum());
        Assert.Equal(136, answer[0]);
        Assert.Equal(NetworkAddress.Parse(wanted), NetworkAddress.ReadV6(answer[8..]));
        Assert.Equal(NetworkAddress.Parse(receiver), packet.Target);
        Assert.Equal(Packets.GatewayMac, MacAddress.Read(answer[26..]));
    }

    [Fact]
    public void Udp_ToTheGateway_ReachesTheHostAndComesBack()
    {
        using UserNetwork network = Create();
        TestGuest guest = new(network);
        using Socket host = BindUdp("127.0.0.1");
        byte[] large = new byte[9000];
        Random.Shared.NextBytes(large);

        for (int i = 0; i < 5; i++)
        {
            guest.Transmit(Packets.Udp(TestGuest.V4, 5000, "10.0.2.2", Port(host), "ping"u8));
            EndPoint from = new IPEndPoint(IPAddress.Any, 0);
            byte[] buffer = new byte[100];
            Assert.Equal(4, host.ReceiveFrom(buffer, ref from));
            large[0] = (byte)i;
            host.SendTo(large, from);

            ReadOnlySpan<byte> datagram = Payload(guest.WaitForFrame(), out IpPacket packet);
            Assert.Equal(NetworkAddress.Parse("10.0.2.2"), packet.Source);
            Assert.Equal(Port(host), BinaryPrimitives.ReadUInt16BigEndian(datagram));
            Assert.Equal(5000, BinaryPrimitives.ReadUInt16BigEndian(datagram[2..]));
            Assert.Equal(large, datagram[8..].ToArray());
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Udp_WhileTheGuestHasNoRoom_WaitsForIt(bool isForwarded)
    {
        const int Count = 300;
        using Socket host = BindUdp("127.0.0.1");
        using UserNetwork network = Create(options => options with { Forwards = [new PortForward(false, new IPEndPoint(IPAddress.Loopback, 0), 53)] });
        TestGuest guest = new(network);
        EndPoint target = network.ForwardEndPoints[0];
        if (!isForwarded)
        {
            guest.Transmit(Packets.Udp(TestGuest.V4, 5000, "10.0.2.2", Port(host), "hello"u8));
            host.ReceiveFrom(new byte[100], ref target);
        }

        guest.HasRoom = false;
        for (int i = 0; i < Count; i++)
        {
            host.SendTo(BitConverter.GetBytes(i), target);

            // The socket's own buffer is not what is tested.
            Thread.Sleep(i % 50 == 0 ? 20 : 0);
        }

        guest.HasRoom = true;
        network.OnRoom();

        for (int i = 0; i < Count; i++)
        {
            byte[] frame = guest.WaitForFrame();
            Assert.Equal(i, BitConverter.ToInt32(frame, frame.Length - 4));
        }
    }

    [Fact]
    public void Udp_InFragments_ArrivesWhole()
    {
        using UserNetwork network = Create();
        TestGuest guest = new(network);
        using Socket host = BindUdp("127.0.0.1");
        byte[] data = new byte[4000];
        Random.Shared.NextBytes(data);
        byte[] whole = Packets.Udp(TestGuest.V4, 5000, "10.0.2.2", Port(host), data);
        byte[] payload = whole[34..];
        int[] starts = [2960, 0, 1480];

        foreach (int start in starts)
        {
            byte[] fragment = Packets.Ip(TestGuest.V4, "10.0.2.2", IpProtocol.Udp, payload.AsSpan(start, Math.Min(1480, payload.Length - start)));
            BinaryPrimitives.WriteUInt16BigEndian(fragment.AsSpan(14 + 4), 77);
            BinaryPrimitives.WriteUInt16BigEndian(fragment.AsSpan(14 + 6), (ushort)((start / 8) | (start == 2960 ? 0 : 0x2000)));
            fragment.AsSpan(14 + 10, 2).Clear();
            BinaryPrimitives.WriteUInt16BigEndian(fragment.AsSpan(14 + 10), InternetChecksum.Finish(InternetChecksum.Sum(fragment.AsSpan(14, 20))));
            guest.Transmit(fragment);
        }

        byte[] buffer = new byte[10_000];
        int length = host.Receive(buffer);
        Assert.Equal(data, buffer[..length]);
    }

    [Fact]
    public void Udp_ToAClosedPort_IsUnreachable()
    {
        using UserNetwork network = Create();
        TestGuest guest = new(network);
        ushort port;
        using (Socket host = BindUdp("127.0.0.1"))
        {
            port = Port(host);
        }

        guest.Transmit(Packets.Udp(TestGuest.V4, 5000, "10.0.2.2", port, "ping"u8));

        ReadOnlySpan<byte> message = Payload(guest.WaitForFrame(), out _);
        Assert.Equal([3, 3], message[..2].ToArray());
        Assert.True(IpPacket.TryReadV4(message[8..], out IpPacket quoted) || message.Length == 36);
        Assert.Equal(5000, BinaryPrimitives.ReadUInt16BigEndian(message[28..]));
        Assert.Equal(port, BinaryPrimitives.ReadUInt16BigEndian(message[30..]));
    }

    [Fact]
    public void Dns_Query_GoesToTheNextServerIfOneIsDead()
    {
        using Socket dead = BindUdp("127.0.0.1");
        using Socket alive = BindUdp("127.0.0.1");
        using UserNetwork network = Create(options => options with { Resolvers = [(IPEndPoint)dead.LocalEndPoint!, (IPEndPoint)alive.LocalEndPoint!] });
        TestGuest guest = new(network);

        guest.Transmit(Packets.Udp(TestGuest.V4, 5000, "10.0.2.3", 53, "query"u8));
        Assert.Equal(5, dead.Receive(new byte[100]));
        Thread.Sleep(1000);
        guest.Transmit(Packets.Udp(TestGuest.V4, 5000, "10.0.2.3", 53, "query"u8));
        EndPoint from = new IPEndPoint(IPAddress.Any, 0);
        Assert.Equal(5, alive.ReceiveFrom(new byte[100], ref from));
        alive.SendTo("answer"u8, from);

        ReadOnlySpan<byte> datagram = Payload(guest.WaitForFrame(), out IpPacket packet);
        Assert.Equal(NetworkAddress.Parse("10.0.2.3"), packet.Source);
        Assert.Equal("answer"u8, datagram[8..]);
    }

    [Fact]
    public void Dns_OverTcpAndIpV6_ReachesTheServer()
    {
        using Socket server = UserNetworkTcpTests.Listen("127.0.0.1");
        using UserNetwork network = Create(options => options with { Resolvers = [(IPEndPoint)server.LocalEndPoint!] });
        TestGuest guest = new(network);
        GuestConnection connection = guest.Connect("fd00::3", 53);
        using Socket socket = server.Accept();

        socket.Send("answer"u8);
        guest.RunUntil(() => connection.Received.Length == 6);

        Assert.Equal("answer", Encoding.ASCII.GetString(connection.Received.ToArray()));
    }

    [Fact]
    public void Forward_Tcp_ReachesTheGuest()
    {
        using UserNetwork network = Create(options => options with { Forwards = [new PortForward(true, new IPEndPoint(IPAddress.Loopback, 0), 22)] });
        TestGuest guest = new(network) { ListeningPort = 22 };
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(network.ForwardEndPoints[0]);
        client.Send("hello"u8);

        guest.RunUntil(() => guest.Accepted?.Received.Length == 5);
        guest.Accepted!.Send("welcome"u8.ToArray(), finish: true);
        HostJob<byte[]> answer = HostJob.Run(() => UserNetworkTcpTests.ReadAll(client));
        guest.RunUntil(() => answer.IsCompleted);

        Assert.Equal("welcome", Encoding.ASCII.GetString(answer.Result));
    }

    [Fact]
    public void Forward_ToAClosedPort_ResetsItsClient()
    {
        using UserNetwork network = Create(options => options with { Forwards = [new PortForward(true, new IPEndPoint(IPAddress.Loopback, 0), 22)] });
        TestGuest guest = new(network);
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(network.ForwardEndPoints[0]);

        HostJob<byte[]> reading = HostJob.Run(() => UserNetworkTcpTests.ReadAll(client));
        guest.RunUntil(() => reading.IsCompleted);

        Assert.True(reading.IsFaulted);
        Assert.Equal(0, network.ConnectionCount);
    }

    [Fact]
    public void Forward_Udp_ReachesTheGuestAndAnswersItsClient()
    {
        using UserNetwork network = Create(options => options with { Forwards = [new PortForward(false, new IPEndPoint(IPAddress.Loopback, 0), 53)] });
        TestGuest guest = new(network);
        using Socket first = BindUdp("127.0.0.1");
        using Socket second = BindUdp("127.0.0.1");
        first.SendTo("one"u8, network.ForwardEndPoints[0]);
        byte[] one = guest.WaitForFrame();
        second.SendTo("two"u8, network.ForwardEndPoints[0]);
        byte[] two = guest.WaitForFrame();

        foreach (byte[] frame in (byte[][])[two, one])
        {
            ReadOnlySpan<byte> datagram = Payload(frame, out IpPacket packet);
            Assert.Equal(53, BinaryPrimitives.ReadUInt16BigEndian(datagram[2..]));
            guest.Transmit(Packets.Udp(TestGuest.V4, 53, packet.Source.ToString(), BinaryPrimitives.ReadUInt16BigEndian(datagram), datagram[8..]));
        }

        byte[] buffer = new byte[10];
        Assert.Equal("one", Encoding.ASCII.GetString(buffer, 0, first.Receive(buffer)));
        Assert.Equal("two", Encoding.ASCII.GetString(buffer, 0, second.Receive(buffer)));
    }

    [Fact]
    public void Forward_PortInUse_SaysSo()
    {
        using Socket other = UserNetworkTcpTests.Listen("127.0.0.1");

        NetworkException error = Assert.Throws<NetworkException>(
            () => Create(options => options with { Forwards = [new PortForward(true, (IPEndPoint)other.LocalEndPoint!, 22)] }));

        Assert.Contains("another program uses the port", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Restricted_Guest_ReachesNothingButForwardsWork()
    {
        using Socket server = UserNetworkTcpTests.Listen("127.0.0.1");
        using Socket udp = BindUdp("127.0.0.1");
        using UserNetwork network = Create(options => options with
        {
            IsRestricted = true,
            Forwards = [new PortForward(true, new IPEndPoint(IPAddress.Loopback, 0), 22)],
            Resolvers = [(IPEndPoint)udp.LocalEndPoint!],
        });
        TestGuest guest = new(network) { ListeningPort = 22 };

        GuestConnection refused = guest.Connect("10.0.2.2", UserNetworkTcpTests.Port(server));
        guest.Transmit(Packets.Udp(TestGuest.V4, 5000, "10.0.2.2", Port(udp), "x"u8));
        guest.Transmit(Packets.Udp(TestGuest.V4, 5000, "10.0.2.3", 53, "x"u8));
        guest.Transmit(Packets.Echo(TestGuest.V4, "10.0.2.2", 1, "x"u8));
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal([3, 13], Payload(guest.WaitForFrame(), out _)[..2].ToArray());
        }

        using Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(network.ForwardEndPoints[0]);
        guest.RunUntil(() => guest.Accepted?.IsEstablished == true);
        Assert.False(refused.IsEstablished);
        Assert.False(server.Poll(0, SelectMode.SelectRead));
        Assert.False(udp.Poll(0, SelectMode.SelectRead));
    }

    private static UserNetwork Create(Func<UserNetworkOptions, UserNetworkOptions>? change = null)
    {
        UserNetworkOptions options = new() { GuestMac = Packets.GuestMac };
        return new UserNetwork(change?.Invoke(options) ?? options);
    }

    private static IPAddress? OutsideAddress() =>
        Dns.GetHostAddresses(Dns.GetHostName(), AddressFamily.InterNetwork).FirstOrDefault(address => !IPAddress.IsLoopback(address));

    private static bool MaySendEchoes(IPAddress target)
    {
        try
        {
            if (OperatingSystem.IsWindows())
            {
                // Wine needs the rights that Windows does not.
                using System.Net.NetworkInformation.Ping ping = new();
                return ping.Send(target, 5000).Status == System.Net.NetworkInformation.IPStatus.Success;
            }

            using Socket socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Icmp);
            return true;
        }
        catch (Exception error) when (error is SocketException or System.Net.NetworkInformation.PingException)
        {
            return false;
        }
    }

    private static Socket BindUdp(string address)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 10_000 };
        socket.Bind(new IPEndPoint(IPAddress.Parse(address), 0));
        return socket;
    }

    private static ushort Port(Socket socket) => UserNetworkTcpTests.Port(socket);

    private static ReadOnlySpan<byte> Payload(byte[] frame, out IpPacket packet)
    {
        ReadOnlySpan<byte> content = frame.AsSpan(Ethernet.HeaderSize);
        Assert.True(IpPacket.TryReadV4(content, out packet) || IpPacket.TryReadV6(content, out packet));
        return packet.Payload;
    }
}
