using Xunit;
using CooperativeLinux.Devices.Network.Tcp;

namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>Two endpoints that talk to each other over a way with a delay, which may lose, double and reorder segments.</summary>
internal sealed class TcpPair
{
    private readonly PriorityQueue<(TestTcp Target, TcpHeader Header, byte[] Payload), (long Time, int Number)> _underWay = new();
    private int _number;

    public TcpPair(TcpLimits? clientLimits = null, TcpLimits? serverLimits = null, uint clientSequence = 0xffff_ff00, uint serverSequence = 77)
    {
        Client = new TestTcp(this, clientLimits ?? new TcpLimits(1460), clientSequence);
        Server = new TestTcp(this, serverLimits ?? new TcpLimits(1460), serverSequence);
        Client.Peer = Server;
        Server.Peer = Client;
    }

    public TestTcp Client { get; }

    public TestTcp Server { get; }

    /// <summary>Milliseconds.</summary>
    public long Now { get; private set; }

    /// <summary>What becomes of a segment: the times at which copies of it arrive, from now.</summary>
    public Func<TestTcp, TcpHeader, byte[], IReadOnlyList<int>> Fate { get; set; } = (_, _, _) => [1];

    public int Segments { get; private set; }

    public void Connect()
    {
        Client.Endpoint.Connect(Now);
        RunUntil(() => Client.IsEstablished && Server.IsEstablished);
    }

    /// <summary>Lets time pass until something is so.</summary>
    public void RunUntil(Func<bool> isDone, long limit = 3_600_000)
    {
        long end = Now + limit;
        while (!isDone())
        {
            Assert.True(Step(end), $"not so after {limit} ms: {Client.Endpoint.State} {Server.Endpoint.State}");
        }
    }

    /// <summary>Lets an amount of time pass.</summary>
    public void Run(long milliseconds)
    {
        long end = Now + milliseconds;
        while (Step(end))
        {
        }

        Now = end;
    }

    public void Send(TestTcp from, TcpHeader header, byte[] payload)
    {
        Segments++;
        foreach (int delay in Fate(from, header, payload))
        {
            _underWay.Enqueue((from.Peer, header, payload), (Now + delay, _number++));
        }
    }

    private bool Step(long end)
    {
        long next = Math.Min(Client.Endpoint.Deadline, Server.Endpoint.Deadline);
        long arrival = _underWay.TryPeek(out _, out (long Time, int Number) first) ? first.Time : long.MaxValue;
        long time = Math.Min(next, arrival);
        if (time > end)
        {
            return false;
        }

        Now = Math.Max(Now, time);
        if (arrival <= next)
        {
            (TestTcp target, TcpHeader header, byte[] payload) = _underWay.Dequeue();
            target.Receive(header, payload, Now);
        }

        foreach (TestTcp side in (TestTcp[])[Client, Server])
        {
            if (side.Endpoint.Deadline <= Now)
            {
                side.Endpoint.Tick(Now);
            }

            side.Pump(Now);
        }

        return true;
    }
}

/// <summary>One side of a <see cref="TcpPair"/>: sends what it is given, takes what comes as fast as it may.</summary>
internal sealed class TestTcp : ITcpLink, ITcpUser
{
    private readonly TcpPair _pair;
    private readonly Queue<byte> _toSend = new();
    private bool _isFinishing;
    private bool _isFinished;

    public TestTcp(TcpPair pair, TcpLimits limits, uint sequence)
    {
        _pair = pair;
        Endpoint = new TcpEndpoint(this, this, limits, sequence);
    }

    public TcpEndpoint Endpoint { get; }

    public TestTcp Peer { get; set; } = null!;

    public int MaxPayload { get; set; } = 60_000;

    public List<byte> Received { get; } = [];

    public bool IsEstablished { get; private set; }

    public bool IsPeerFinished { get; private set; }

    public bool IsClosed { get; private set; }

    public bool? IsTimeout { get; private set; }

    /// <summary>Bytes taken at once; 0: the reader sleeps.</summary>
    public int Appetite { get; set; } = int.MaxValue;

    public bool HasLinkRoom { get; set; } = true;

    public bool RefusesConnections { get; set; }

    public void Write(ReadOnlySpan<byte> bytes, bool finish = false)
    {
        foreach (byte value in bytes)
        {
            _toSend.Enqueue(value);
        }

        _isFinishing |= finish;
        Pump(_pair.Now);
    }

    public void Finish() => Write([], finish: true);

    public void Receive(TcpHeader header, byte[] payload, long now)
    {
        if (Endpoint.State == TcpState.Closed && header.Flags == TcpFlags.Syn && !IsClosed)
        {
            Endpoint.Open(header);
            if (RefusesConnections)
            {
                Endpoint.Abort();
            }
            else
            {
                Endpoint.Accept(now);
            }
        }
        else
        {
            Endpoint.Receive(header, payload, now);
        }
    }

    public void Pump(long now)
    {
        int waiting = Math.Min(Appetite, Endpoint.Received.Count);
        while (waiting > 0)
        {
            ReadOnlyMemory<byte> part = Endpoint.Received.Peek(0, waiting);
            Received.AddRange(part.Span);
            waiting -= part.Length;
            Endpoint.Consume(part.Length);
        }

        int room = Math.Min(Endpoint.SendRoom, _toSend.Count);
        if (room > 0)
        {
            byte[] bytes = new byte[room];
            for (int i = 0; i < room; i++)
            {
                bytes[i] = _toSend.Dequeue();
            }

            Endpoint.Sending.Append(bytes);
        }

        if (_isFinishing && !_isFinished && _toSend.Count == 0 && IsEstablished)
        {
            _isFinished = true;
            Endpoint.Finish();
        }

        Endpoint.Output(now);
    }

    public bool TrySend(in TcpHeader header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, int segmentSize)
    {
        if (!HasLinkRoom)
        {
            return false;
        }

        _pair.Send(this, header, [.. payload, .. rest]);
        return true;
    }

    public void OnEstablished() => IsEstablished = true;

    public int OnData(ReadOnlySpan<byte> data)
    {
        int count = Math.Min(Appetite, data.Length);
        Received.AddRange(data[..count]);
        return count;
    }

    public void OnPeerFinished() => IsPeerFinished = true;

    public void OnSendRoom()
    {
    }

    public void OnReset(bool isTimeout) => IsTimeout = isTimeout;

    public void OnClosed() => IsClosed = true;
}
