using System.Buffers.Binary;
using System.Collections.Concurrent;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.Tcp;
using CooperativeLinux.Devices.Network.User;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>A guest on a user network, whose TCP is an endpoint of ours. Works on the test's thread while it waits for something.</summary>
internal sealed class TestGuest : INetworkPort
{
    public const string V4 = "10.0.2.15", V6 = "fd00::15";

    private readonly UserNetwork _network;
    private readonly ConcurrentQueue<(byte[] Frame, FrameOffload Offload)> _arrived = new();
    private readonly Dictionary<(NetworkAddress, ushort, ushort), GuestConnection> _connections = [];
    private readonly List<byte[]> _others = [];
    private ushort _nextPort = 40_000;

    public TestGuest(UserNetwork network)
    {
        _network = network;
        network.Attach(this);
    }

    public bool TakesSegmentationV4 { get; set; } = true;

    public bool TakesSegmentationV6 { get; set; } = true;

    /// <summary>Whether it takes frames.</summary>
    public volatile bool HasRoom = true;

    /// <summary>The port on which connections are let in; 0: none.</summary>
    public ushort ListeningPort { get; set; }

    public GuestConnection? Accepted { get; private set; }

    public long LargestFrame { get; private set; }

    public bool TryDeliver(ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, FrameOffload offload)
    {
        if (!HasRoom)
        {
            return false;
        }

        _arrived.Enqueue(([.. headers, .. payload, .. rest], offload));
        return true;
    }

    public void Transmit(byte[] frame, FrameOffload offload = default)
    {
        _network.Transmit(frame, offload);
        _network.EndBatch();
    }

    /// <summary>Waits for a frame that is not TCP.</summary>
    public byte[] WaitForFrame(Predicate<byte[]>? isWanted = null)
    {
        byte[]? found = null;
        RunUntil(() =>
        {
            found = _others.Find(isWanted ?? (_ => true));
            return found is not null;
        });
        _others.Remove(found!);
        return found!;
    }

    /// <summary>Whether nothing comes for a while.</summary>
    public bool HearsNothing()
    {
        long end = Environment.TickCount64 + 200;
        RunUntil(() => Environment.TickCount64 > end);
        return _others.Count == 0;
    }

    public GuestConnection Connect(string target, ushort port)
    {
        NetworkAddress remote = NetworkAddress.Parse(target);
        GuestConnection connection = new(this, remote.IsV4 ? V4 : V6, _nextPort++, target, port);
        _connections.Add((remote, port, connection.LocalPort), connection);
        connection.Endpoint.Connect(Environment.TickCount64);
        _network.EndBatch();
        return connection;
    }

    /// <summary>Takes frames until something is so.</summary>
    public void RunUntil(Func<bool> isDone)
    {
        long end = Environment.TickCount64 + 20_000;
        while (!isDone())
        {
            Assert.True(Environment.TickCount64 < end, "not so after 20 s");
            bool isIdle = true;
            for (int i = 0; i < 100 && _arrived.TryDequeue(out (byte[] Frame, FrameOffload Offload) next); i++)
            {
                isIdle = false;
                Take(next.Frame, next.Offload);
            }

            long now = Environment.TickCount64;
            foreach (GuestConnection connection in _connections.Values)
            {
                connection.Pump(now);
            }

            _network.EndBatch();
            if (isIdle)
            {
                Thread.Sleep(1);
            }
        }
    }

    private void Take(byte[] frame, FrameOffload offload)
    {
        LargestFrame = Math.Max(LargestFrame, frame.Length);
        ReadOnlySpan<byte> content = frame.AsSpan(Ethernet.HeaderSize);
        if (BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(Ethernet.TypeOffset)) == Ethernet.TypeArp
            || !(IpPacket.TryReadV4(content, out IpPacket packet) || IpPacket.TryReadV6(content, out packet))
            || packet.Protocol != IpProtocol.Tcp)
        {
            _others.Add(frame);
            return;
        }

        Assert.True(TcpHeader.TryRead(packet.Payload, out TcpHeader header, out ReadOnlySpan<byte> payload));
        ushort partial = BinaryPrimitives.ReadUInt16BigEndian(packet.Payload[TcpHeader.ChecksumOffset..]);
        Assert.Equal(FrameChecksum.Partial, offload.Checksum);
        Assert.Equal(InternetChecksum.PseudoHeader(packet.Source, packet.Target, IpProtocol.Tcp, packet.Payload.Length), partial);
        Assert.Equal(payload.Length > NetworkLimits.Mtu, offload.Segmentation != FrameSegmentation.None);
        (NetworkAddress, ushort, ushort) key = (packet.Source, header.SourcePort, header.TargetPort);
        if (!_connections.TryGetValue(key, out GuestConnection? connection) && header.Flags == TcpFlags.Syn && header.TargetPort == ListeningPort)
        {
            connection = new GuestConnection(this, packet.Target.ToString(), header.TargetPort, packet.Source.ToString(), header.SourcePort);
            _connections.Add(key, connection);
            Accepted = connection;
            connection.Endpoint.Open(header);
            connection.Endpoint.Accept(Environment.TickCount64);
        }
        else if (connection is null && !header.Has(TcpFlags.Reset))
        {
            TcpHeader reset = new(header.TargetPort, header.SourcePort, 0, header.Sequence + 1, TcpFlags.Reset | TcpFlags.Acknowledge, 0);
            Transmit(Packets.Tcp(packet.Target.ToString(), packet.Source.ToString(), reset, default));
        }

        connection?.Endpoint.Receive(header, payload, Environment.TickCount64);
    }
}

/// <summary>The guest's end of a connection.</summary>
internal sealed class GuestConnection : ITcpLink, ITcpUser
{
    private readonly TestGuest _guest;
    private readonly string _local;
    private readonly string _remote;
    private readonly ushort _remotePort;
    private ReadOnlyMemory<byte> _toSend;
    private bool _isFinishing;

    public GuestConnection(TestGuest guest, string local, ushort localPort, string remote, ushort remotePort)
    {
        _guest = guest;
        _local = local;
        _remote = remote;
        _remotePort = remotePort;
        LocalPort = localPort;
        Endpoint = new TcpEndpoint(this, this, new TcpLimits(1440), (uint)Random.Shared.Next());
    }

    public ushort LocalPort { get; }

    public TcpEndpoint Endpoint { get; }

    public int MaxPayload => 30_000;

    public bool IsEstablished { get; private set; }

    public bool IsFinished { get; private set; }

    public bool IsReset { get; private set; }

    public MemoryStream Received { get; } = new();

    /// <summary>Whether it takes data.</summary>
    public bool IsReading { get; set; } = true;

    public void Send(ReadOnlyMemory<byte> bytes, bool finish = false)
    {
        _toSend = bytes;
        _isFinishing = finish;
    }

    public void Pump(long now)
    {
        int room = Math.Min(Endpoint.SendRoom, _toSend.Length);
        Endpoint.Sending.Append(_toSend.Span[..room]);
        _toSend = _toSend[room..];
        if (_isFinishing && _toSend.IsEmpty && IsEstablished)
        {
            _isFinishing = false;
            Endpoint.Finish();
        }

        while (IsReading && Endpoint.Received.Count > 0)
        {
            ReadOnlyMemory<byte> part = Endpoint.Received.Peek(0, int.MaxValue);
            Received.Write(part.Span);
            Endpoint.Consume(part.Length);
        }

        if (Endpoint.Deadline <= now)
        {
            Endpoint.Tick(now);
        }

        Endpoint.Output(now);
    }

    public bool TrySend(in TcpHeader header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, int segmentSize)
    {
        TcpHeader full = header with { SourcePort = LocalPort, TargetPort = _remotePort };
        _guest.Transmit(Packets.Tcp(_local, _remote, full, [.. payload, .. rest]));
        return true;
    }

    public void OnEstablished() => IsEstablished = true;

    public int OnData(ReadOnlySpan<byte> data)
    {
        if (!IsReading)
        {
            return 0;
        }

        Received.Write(data);
        return data.Length;
    }

    public void OnPeerFinished() => IsFinished = true;

    public void OnSendRoom()
    {
    }

    public void OnReset(bool isTimeout) => IsReset = true;

    public void OnClosed()
    {
    }
}
