using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.User;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class UserNetworkTcpTests : IDisposable
{
    private readonly UserNetwork _network = new(new UserNetworkOptions { GuestMac = Packets.GuestMac });
    private readonly TestGuest _guest;

    public UserNetworkTcpTests() => _guest = new TestGuest(_network);

    public void Dispose() => _network.Dispose();

    [Theory]
    [InlineData("10.0.2.2", "127.0.0.1", true)]
    [InlineData("10.0.2.2", "127.0.0.1", false)]
    [InlineData("fd00::2", "::1", true)]
    public void Connection_MuchDataBothWays_ArrivesAndEnds(string target, string host, bool segmentation)
    {
        using Socket listener = Listen(host);
        _guest.TakesSegmentationV4 = segmentation;
        GuestConnection connection = _guest.Connect(target, Port(listener));
        byte[] up = Bytes(5_000_000, 1);
        byte[] down = Bytes(7_000_000, 2);
        HostJob<byte[]> server = HostJob.Run(() =>
        {
            using Socket socket = listener.Accept();
            HostJob<byte[]> reading = HostJob.Run(() => ReadAll(socket));
            socket.Send(down);
            socket.Shutdown(SocketShutdown.Send);
            return reading.Result;
        });

        connection.Send(up, finish: true);
        _guest.RunUntil(() => connection.IsFinished && server.IsCompleted);

        Assert.Equal(up, server.Result);
        Assert.Equal(down, connection.Received.ToArray());
        Assert.False(connection.IsReset);
        Assert.Equal(segmentation, _guest.LargestFrame > 10_000);
        _guest.RunUntil(() => _network.ConnectionCount == 0);
    }

    [Fact]
    public void Connection_ToAClosedPort_IsRefused()
    {
        GuestConnection connection = _guest.Connect("10.0.2.2", 1);

        _guest.RunUntil(() => connection.IsReset);

        Assert.False(connection.IsEstablished);
        Assert.Equal(0, _network.ConnectionCount);
    }

    [Theory]
    [InlineData("10.0.2.77")]
    [InlineData("127.0.0.1")]
    [InlineData("fe80::77")]
    public void Connection_ToNobody_IsUnreachable(string target)
    {
        _guest.Connect(target, 80);

        byte[] answer = _guest.WaitForFrame();

        Assert.Equal(target.Contains(':', StringComparison.Ordinal) ? [1, 3] : (byte[])[3, 1], answer.AsSpan(target.Contains(':', StringComparison.Ordinal) ? 54 : 34, 2).ToArray());
    }

    [Fact]
    public void HostPeer_Resets_GuestSeesAReset()
    {
        using Socket listener = Listen("127.0.0.1");
        GuestConnection connection = _guest.Connect("10.0.2.2", Port(listener));
        using Socket socket = listener.Accept();
        _guest.RunUntil(() => connection.IsEstablished);

        socket.LingerState = new LingerOption(true, 0);
        socket.Close();

        _guest.RunUntil(() => connection.IsReset);
        Assert.Equal(0, _network.ConnectionCount);
    }

    [Fact]
    public void Guest_Resets_HostPeerSeesAReset()
    {
        using Socket listener = Listen("127.0.0.1");
        GuestConnection connection = _guest.Connect("10.0.2.2", Port(listener));
        using Socket socket = listener.Accept();
        _guest.RunUntil(() => connection.IsEstablished);

        connection.Endpoint.Abort();
        _network.EndBatch();

        SocketException error = Assert.Throws<SocketException>(() => socket.Receive(new byte[10]));
        Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
    }

    [Fact]
    public void Guest_HalfCloses_StillReceives()
    {
        using Socket listener = Listen("127.0.0.1");
        GuestConnection connection = _guest.Connect("10.0.2.2", Port(listener));
        connection.Send("question"u8.ToArray(), finish: true);
        using Socket socket = listener.Accept();
        HostJob<byte[]> question = HostJob.Run(() => ReadAll(socket));
        _guest.RunUntil(() => question.IsCompleted);
        Assert.Equal("question"u8.ToArray(), question.Result);

        socket.Send("answer"u8);
        socket.Close();
        _guest.RunUntil(() => connection.IsFinished);

        Assert.Equal("answer"u8.ToArray(), connection.Received.ToArray());
        Assert.False(connection.IsReset);
    }

    [Fact]
    public void HostPeer_Stalls_GuestIsHeldBackAndNothingIsLost()
    {
        using Socket listener = Listen("127.0.0.1");
        listener.ReceiveBufferSize = 20_000;
        GuestConnection connection = _guest.Connect("10.0.2.2", Port(listener));
        byte[] data = Bytes(30_000_000, 3);
        connection.Send(data, finish: true);
        using Socket socket = listener.Accept();
        long end = Environment.TickCount64 + 500;
        _guest.RunUntil(() => Environment.TickCount64 > end);
        Assert.NotEqual(Devices.Network.Tcp.TcpState.FinWait1, connection.Endpoint.State);
        Assert.Equal(0, connection.Endpoint.Received.Count);

        HostJob<byte[]> reading = HostJob.Run(() => ReadAll(socket));
        _guest.RunUntil(() => reading.IsCompleted);

        Assert.Equal(data, reading.Result);
    }

    [Fact]
    public void Guest_Stalls_HostPeerIsHeldBackAndNothingIsLost()
    {
        using Socket listener = Listen("127.0.0.1");
        GuestConnection connection = _guest.Connect("10.0.2.2", Port(listener));
        connection.IsReading = false;
        byte[] data = Bytes(30_000_000, 4);
        using Socket socket = listener.Accept();
        HostJob<bool> sending = HostJob.Run(() =>
        {
            socket.Send(data);
            socket.Shutdown(SocketShutdown.Send);
        });
        long end = Environment.TickCount64 + 500;
        _guest.RunUntil(() => Environment.TickCount64 > end);
        Assert.False(sending.IsCompleted);

        connection.IsReading = true;
        _guest.RunUntil(() => connection.IsFinished);

        Assert.Equal(data, connection.Received.ToArray());
    }

    [Fact]
    public void Guest_WithoutRoom_GetsEverythingLater()
    {
        using Socket listener = Listen("127.0.0.1");
        GuestConnection connection = _guest.Connect("10.0.2.2", Port(listener));
        byte[] data = Bytes(3_000_000, 5);
        using Socket socket = listener.Accept();
        HostJob<bool> sending = HostJob.Run(() =>
        {
            socket.Send(data);
            socket.Shutdown(SocketShutdown.Send);
        });
        int turns = 0;
        _guest.RunUntil(() =>
        {
            _guest.HasRoom = ++turns % 3 == 0;
            if (_guest.HasRoom)
            {
                _network.OnRoom();
            }

            return connection.IsFinished;
        });

        Assert.True(sending.IsCompleted);
        Assert.Equal(data, connection.Received.ToArray());
    }

    [Fact]
    public void Connections_ManyAtOnce_AllWork()
    {
        const int Count = 300;
        using Socket listener = Listen("127.0.0.1");
        HostJob<bool> server = HostJob.Run(() =>
        {
            for (int i = 0; i < Count; i++)
            {
                Socket socket = listener.Accept();
                HostJob.Run(() => Echo(socket));
            }
        });

        GuestConnection[] connections = [.. Enumerable.Range(0, Count).Select(_ => _guest.Connect("10.0.2.2", Port(listener)))];
        for (int i = 0; i < Count; i++)
        {
            connections[i].Send(Bytes(20_000 + i, i), finish: true);
        }

        _guest.RunUntil(() => connections.All(connection => connection.IsFinished));

        Assert.True(server.Result);
        for (int i = 0; i < Count; i++)
        {
            Assert.Equal(Bytes(20_000 + i, i), connections[i].Received.ToArray());
        }
    }

    [Fact]
    public void Detach_Guest_ResetsItsPeers()
    {
        using Socket listener = Listen("127.0.0.1");
        GuestConnection connection = _guest.Connect("10.0.2.2", Port(listener));
        using Socket socket = listener.Accept();
        _guest.RunUntil(() => connection.IsEstablished);

        _network.Detach(_guest);

        Assert.Throws<SocketException>(() => socket.Receive(new byte[10]));
        Assert.Equal(0, _network.ConnectionCount);
    }

    private static void Echo(Socket socket)
    {
        byte[] buffer = new byte[1000];
        int length;
        while ((length = socket.Receive(buffer)) > 0)
        {
            socket.Send(buffer, length, SocketFlags.None);
        }

        socket.Dispose();
    }

    internal static Socket Listen(string address)
    {
        IPEndPoint local = new(IPAddress.Parse(address), 0);
        Socket listener = new(local.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(local);
        listener.Listen(512);
        return listener;
    }

    internal static ushort Port(Socket socket) => (ushort)((IPEndPoint)socket.LocalEndPoint!).Port;

    internal static byte[] ReadAll(Socket socket)
    {
        using MemoryStream all = new();
        byte[] buffer = new byte[65536];
        int length;
        while ((length = socket.Receive(buffer)) > 0)
        {
            all.Write(buffer, 0, length);
        }

        return all.ToArray();
    }

    private static byte[] Bytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
