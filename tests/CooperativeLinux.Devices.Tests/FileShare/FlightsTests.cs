using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Server;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

public sealed class FlightsTests : IAnswerSink
{
    private readonly List<int> _tags = [];
    private readonly Flights _flights;

    public FlightsTests() => _flights = new Flights(this);

    void IAnswerSink.Send(int ring, ReadOnlySpan<byte> message) => _tags.Add(BinaryPrimitives.ReadUInt16LittleEndian(message[5..]));

    [Fact]
    public void Flushes_OfFlushes_AreAnsweredInOrderHoweverManyThereAre()
    {
        const int Count = 65_000;
        Flight first = _flights.TryBegin(0, 0)!;
        for (int tag = 1; tag < Count; tag++)
        {
            Flight flush = _flights.TryBegin(0, (ushort)tag)!;
            Assert.True(_flights.TryFlush((ushort)(tag - 1), flush));
        }

        _flights.Answer(first, [9, 0, 0, 0, 7, 0, 0]);

        Assert.Equal(Enumerable.Range(0, Count), _tags);
        Assert.NotNull(_flights.TryBegin(0, 5));
    }

    [Fact]
    public void Tag_InUse_IsRefusedUntilItsAnswer()
    {
        Flight flight = _flights.TryBegin(0, 7)!;
        Assert.Null(_flights.TryBegin(0, 7));
        _flights.Answer(flight, [9, 0, 0, 0, 7, 7, 0]);
        Assert.NotNull(_flights.TryBegin(0, 7));
    }

    [Fact]
    public void Flush_OfItselfOrNothing_DoesNotWait()
    {
        Flight flush = _flights.TryBegin(0, 3)!;
        Assert.False(_flights.TryFlush(3, flush));
        Assert.False(_flights.TryFlush(4, flush));
    }

    [Fact]
    public void Cancel_IsCalledByAFlush_OrRefusedAfterIt()
    {
        int cancels = 0;
        Flight flight = _flights.TryBegin(0, 1)!;
        Assert.True(_flights.TrySetCancel(flight, () => cancels++));
        _flights.TryFlush(1, _flights.TryBegin(0, 2)!);
        Assert.Equal(1, cancels);
        Assert.False(_flights.TrySetCancel(flight, () => cancels++));
    }
}
