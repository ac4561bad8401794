using Xunit;
using CooperativeLinux.Devices.Network.Tcp;

namespace CooperativeLinux.Devices.Tests.Network;

public sealed class TcpEndpointTests
{
    [Fact]
    public void Connect_DataBothWays_ArrivesAndClosesOnBothSides()
    {
        TcpPair pair = new();
        pair.Connect();
        byte[] up = Bytes(300_000, 1);
        byte[] down = Bytes(500_000, 2);

        pair.Client.Write(up, finish: true);
        pair.Server.Write(down, finish: true);
        pair.RunUntil(() => pair.Client.IsPeerFinished && pair.Server.IsPeerFinished);
        pair.Run(TcpEndpoint.TimeWait + 1000);

        Assert.Equal(up, pair.Server.Received);
        Assert.Equal(down, pair.Client.Received);
        Assert.True(pair.Client.IsClosed);
        Assert.True(pair.Server.IsClosed);
        Assert.Equal(TcpEndpoint.Never, pair.Client.Endpoint.Deadline);
        Assert.Equal(TcpEndpoint.Never, pair.Server.Endpoint.Deadline);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void Transfer_LossDoublingAndReordering_ArrivesWhole(int seed)
    {
        Random random = new(seed);
        TcpPair pair = new(new TcpLimits(536, 30_000), new TcpLimits(1460, 1 << 20))
        {
            Fate = (_, _, _) => random.Next(10) switch
            {
                0 => [],
                1 => [random.Next(1, 400)],
                2 => [1, random.Next(1, 50)],
                _ => [random.Next(1, 4)],
            },
        };
        pair.Client.MaxPayload = seed % 2 == 0 ? 0 : 20_000;
        pair.Server.MaxPayload = seed % 3 == 0 ? 0 : 30_000;
        pair.Connect();
        byte[] up = Bytes(400_000, seed);
        byte[] down = Bytes(300_000, seed + 100);

        pair.Client.Write(up, finish: true);
        pair.Server.Write(down, finish: true);
        pair.RunUntil(() => pair.Client.IsPeerFinished && pair.Server.IsPeerFinished);

        Assert.Equal(up, pair.Server.Received);
        Assert.Equal(down, pair.Client.Received);
        Assert.Null(pair.Client.IsTimeout);
        Assert.Null(pair.Server.IsTimeout);
    }

    [Fact]
    public void Loss_OfOneSegment_IsRepairedByDuplicatesWithoutTheTimer()
    {
        TcpPair pair = new();
        pair.Client.MaxPayload = 0;
        pair.Connect();
        int sent = 0;
        pair.Fate = (from, _, payload) => from == pair.Client && payload.Length > 0 && ++sent == 3 ? [] : [1];
        byte[] data = Bytes(30_000, 1);

        long start = pair.Now;
        pair.Client.Write(data);
        pair.RunUntil(() => pair.Server.Received.Count == data.Length);

        Assert.Equal(data, pair.Server.Received);
        Assert.InRange(pair.Now - start, 1, 100);
    }

    [Fact]
    public void Reader_Sleeps_WindowClosesAndIsProbedAndOpensAgain()
    {
        TcpPair pair = new(serverLimits: new TcpLimits(1460, 20_000));
        pair.Connect();
        pair.Server.Appetite = 0;
        byte[] data = Bytes(100_000, 1);
        pair.Client.Write(data);
        pair.Run(2000);
        Assert.Equal(20_000, pair.Server.Endpoint.Received.Count);

        // Probes go on, less and less often, and nobody gives up.
        int before = pair.Segments;
        pair.Run(1_000_000);
        Assert.InRange(pair.Segments - before, 10, 100);
        Assert.Null(pair.Client.IsTimeout);
        Assert.Equal(20_000, pair.Server.Endpoint.Received.Count);

        // The news that the window is open is lost; a probe finds out.
        pair.Fate = (from, _, _) => from == pair.Server ? [] : [1];
        pair.Server.Appetite = int.MaxValue;
        pair.Server.Pump(pair.Now);
        pair.Fate = (_, _, _) => [1];
        pair.RunUntil(() => pair.Server.Received.Count == data.Length);
        Assert.Equal(data, pair.Server.Received);
    }

    [Fact]
    public void HalfClose_OtherDirection_GoesOn()
    {
        TcpPair pair = new();
        pair.Connect();
        pair.Client.Write("question"u8, finish: true);
        pair.RunUntil(() => pair.Server.IsPeerFinished);
        pair.Run(600_000);
        Assert.Equal(TcpState.FinWait2, pair.Client.Endpoint.State);
        Assert.Equal(TcpState.CloseWait, pair.Server.Endpoint.State);
        byte[] answer = Bytes(200_000, 3);

        pair.Server.Write(answer, finish: true);
        pair.RunUntil(() => pair.Client.IsPeerFinished);

        Assert.Equal(answer, pair.Client.Received);
        Assert.Equal("question"u8.ToArray(), pair.Server.Received);
    }

    [Fact]
    public void Finish_AtTheSameTime_ClosesBoth()
    {
        TcpPair pair = new();
        pair.Connect();

        pair.Client.Finish();
        pair.Server.Finish();
        pair.Run(TcpEndpoint.TimeWait + 1000);

        Assert.True(pair.Client.IsClosed);
        Assert.True(pair.Server.IsClosed);
    }

    [Fact]
    public void Abort_Peer_LearnsOfIt()
    {
        TcpPair pair = new();
        pair.Connect();

        pair.Client.Endpoint.Abort();
        pair.Run(100);

        Assert.False(pair.Server.IsTimeout);
        Assert.Equal(TcpState.Closed, pair.Server.Endpoint.State);
    }

    [Fact]
    public void Connect_Refused_IsAReset()
    {
        TcpPair pair = new();
        pair.Server.RefusesConnections = true;

        pair.Client.Endpoint.Connect(0);
        pair.Run(100);

        Assert.False(pair.Client.IsTimeout);
        Assert.False(pair.Client.IsEstablished);
    }

    [Fact]
    public void Reset_WithAWrongNumber_IsNotBelieved()
    {
        TcpPair pair = new(clientSequence: 1000, serverSequence: 5000);
        pair.Connect();

        pair.Server.Endpoint.Receive(new TcpHeader(0, 0, 1001 + 100, 5001, TcpFlags.Reset, 0), [], pair.Now);
        pair.Server.Endpoint.Receive(new TcpHeader(0, 0, 1000, 5001, TcpFlags.Reset, 0), [], pair.Now);
        Assert.Equal(TcpState.Established, pair.Server.Endpoint.State);

        pair.Server.Endpoint.Receive(new TcpHeader(0, 0, 1001, 5001, TcpFlags.Reset, 0), [], pair.Now);
        Assert.Equal(TcpState.Closed, pair.Server.Endpoint.State);
    }

    [Fact]
    public void Peer_Vanishes_EndsWithATimeout()
    {
        TcpPair pair = new();
        pair.Connect();
        pair.Fate = (_, _, _) => [];

        pair.Client.Write("anybody there?"u8);
        pair.RunUntil(() => pair.Client.IsTimeout is not null);

        Assert.True(pair.Client.IsTimeout);
        Assert.InRange(pair.Now, 60_000, 600_000);
    }

    [Fact]
    public void Link_WithoutRoom_LosesNothing()
    {
        TcpPair pair = new();
        pair.Connect();
        Random random = new(4);
        byte[] data = Bytes(1_000_000, 5);
        pair.Client.Write(data, finish: true);
        while (!pair.Server.IsPeerFinished)
        {
            pair.Client.HasLinkRoom = random.Next(3) == 0;
            pair.Server.HasLinkRoom = random.Next(3) == 0;
            pair.Client.Endpoint.Output(pair.Now);
            pair.Server.Endpoint.Output(pair.Now);
            pair.Run(1);
        }

        Assert.Equal(data, pair.Server.Received);
    }

    [Fact]
    public void Peer_ThatLetsAnythingComeAndAcknowledgesNothing_DoesNotFillMemory()
    {
        TcpPair pair = new(clientLimits: new TcpLimits(1460, SendCapacity: 100_000, SendAhead: 10_000));
        pair.Client.Endpoint.Open(new TcpHeader(0, 0, 100, 0, TcpFlags.Syn, 65535) { SegmentSize = 1460, WindowScale = 14 });
        pair.Client.Endpoint.Accept(0);
        pair.Client.Endpoint.Receive(new TcpHeader(0, 0, 101, 0xffff_ff01, TcpFlags.Acknowledge, 65535), [], 0);
        pair.Fate = (_, _, _) => [];
        pair.Client.Write(Bytes(1_000_000, 1));

        for (int i = 0; i < 100; i++)
        {
            pair.Client.Pump(i);
        }

        Assert.Equal(110_000, pair.Client.Endpoint.Sending.Count);
    }

    [Fact]
    public void Window_WithoutScaling_IsKeptTo()
    {
        TcpPair pair = new();
        pair.Client.Endpoint.Open(new TcpHeader(0, 0, 100, 0, TcpFlags.Syn, 4000) { SegmentSize = 1000 });
        List<(TcpHeader Header, int Length)> sent = [];
        pair.Fate = (_, header, payload) =>
        {
            sent.Add((header, payload.Length));
            return [];
        };

        pair.Client.Endpoint.Accept(0);
        Assert.Null(Assert.Single(sent).Header.WindowScale);
        pair.Client.Endpoint.Receive(new TcpHeader(0, 0, 101, sent[0].Header.Sequence + 1, TcpFlags.Acknowledge, 4000), [], 0);
        pair.Client.Write(Bytes(50_000, 1));

        Assert.Equal(4000, sent.Sum(segment => segment.Length));
        Assert.All(sent, segment => Assert.True(segment.Header.Window > 60_000));
    }

    [Fact]
    public void Segment_BeyondTheWindow_IsCutAndAnswered()
    {
        TcpPair pair = new(serverLimits: new TcpLimits(1460, 1000), clientSequence: 1000, serverSequence: 5000);
        pair.Connect();
        pair.Server.Appetite = 0;
        byte[] data = Bytes(3000, 1);

        pair.Server.Endpoint.Receive(new TcpHeader(0, 0, 1001, 5001, TcpFlags.Acknowledge | TcpFlags.Fin, 100), data, pair.Now);
        pair.Server.Endpoint.Receive(new TcpHeader(0, 0, 9001, 5001, TcpFlags.Acknowledge, 100), data, pair.Now);

        Assert.Equal(1000, pair.Server.Endpoint.Received.Count);
        Assert.False(pair.Server.IsPeerFinished);
    }

    [Fact]
    public void Receive_RandomSegments_NeverBreaksAnything()
    {
        Random random = new(11);
        for (int round = 0; round < 300; round++)
        {
            TcpPair pair = new(new TcpLimits(1460, 5000), new TcpLimits(1460, 5000), clientSequence: 1000, serverSequence: 5000);
            pair.Connect();
            pair.Server.Appetite = random.Next(2) == 0 ? 0 : int.MaxValue;
            pair.Fate = (_, _, _) => [];
            for (int i = 0; i < 200; i++)
            {
                if (random.Next(5) == 0)
                {
                    pair.Server.Write(new byte[random.Next(3000)]);
                }

                TcpHeader header = new(
                    0, 0, (uint)(1001 + random.Next(-50, 8000)), (uint)(5001 + random.Next(-50, 5000)), (TcpFlags)random.Next(32), (ushort)random.Next(65536));
                pair.Server.Endpoint.Receive(header, new byte[random.Next(3000)], pair.Now);
                pair.Server.Pump(pair.Now);
                pair.Run(random.Next(3) == 0 ? 1000 : 0);
            }

            Assert.InRange(pair.Server.Endpoint.Received.Count, 0, 5000);
        }
    }

    private static byte[] Bytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
