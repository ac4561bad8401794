using System.Diagnostics;
using System.Text;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Monitor.Grants;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Console;

public sealed class ConsoleBackendTests : IDisposable
{
    private const ulong Frame = 30;
    private const int OutRing = 1024, OutSize = 2048, InSize = 1024;
    private const int InConsumer = 3072, InProducer = 3076, OutConsumer = 3080, OutProducer = 3084;

    private readonly TestMachine _machine = new();
    private readonly MemorySink _sink = new();
    private readonly ConsoleBackend _console;
    private readonly GuestPages _page;

    public ConsoleBackendTests()
    {
        _machine.Memory.Frame(Frame).Fill(0xaa);
        _console = new ConsoleBackend(_machine.Memory, Frame, _machine.Events, _sink, scrollbackSize: 4096);
        _page = _machine.Pages(Frame);
    }

    public void Dispose()
    {
        _sink.Gate.Set();
        _console.Dispose();
        _machine.Dispose();
    }

    [Fact]
    public void Constructor_PageHadContent_IsCleared()
    {
        byte[] content = new byte[4096];
        _page.CopyTo(0, content);

        Assert.All(content, value => Assert.Equal(0, value));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ConsoleBackend(_machine.Memory, 100_000, _machine.Events));
    }

    [Fact]
    public void Output_Written_ReachesSinkAndScrollback()
    {
        GuestPrints("Linux version 6.1\r\n");

        Assert.True(_sink.WaitFor("Linux version 6.1\r\n"));
        Assert.Equal("Linux version 6.1", _console.Scrollback.LastLines(1));
        Assert.Equal(_page.ReadIndex(OutProducer), _page.ReadIndex(OutConsumer));
    }

    [Fact]
    public void Output_MuchMoreThanTheRing_ArrivesWholeWhileTheGuestSpins()
    {
        string text = string.Concat(Enumerable.Range(0, 20_000).Select(i => $"line {i}\n"));

        GuestPrints(text);

        Assert.True(SpinWait.SpinUntil(() => _sink.Text.Length == text.Length, TimeSpan.FromSeconds(10)));
        Assert.Equal(text, _sink.Text);
    }

    [Fact]
    public void Output_RingFull_IsDrainedAndTheGuestIsTold()
    {
        byte[] full = new byte[OutSize];
        full.AsSpan().Fill((byte)'f');
        _page.CopyFrom(OutRing, full);
        _page.WriteIndex(OutProducer, OutSize);

        _machine.Events.Send(_console.Port);

        Assert.True(_machine.Notified.WaitOne(10_000));
        Assert.True(_sink.WaitFor(new string('f', OutSize)));
    }

    [Fact]
    public void Output_Little_DoesNotNotifyTheGuest()
    {
        GuestPrints("short");

        Assert.True(_sink.WaitFor("short"));
        Thread.Sleep(20);
        Assert.Equal(0, _machine.Notifications);
    }

    [Fact]
    public void Output_IndexWraps_GoesOn()
    {
        _console.Dispose();
        using TestMachine machine = new();
        GuestPages page = machine.Pages(Frame);
        uint start = uint.MaxValue - 9;
        ConsoleRing ring = new(Primed(page, start));
        page.CopyToRing(OutRing, OutSize, start, "across the end of the index"u8);
        page.WriteIndex(OutProducer, start + 27);
        byte[] buffer = new byte[OutSize];

        int count = ring.Drain(buffer, out bool isBroken);

        Assert.False(isBroken);
        Assert.Equal("across the end of the index", Encoding.ASCII.GetString(buffer, 0, count));
    }

    [Theory]
    [InlineData(OutSize + 1u)]
    [InlineData(0x8000_0000u)]
    [InlineData(uint.MaxValue)]
    public void Output_ImpossibleIndex_IsSkippedAndTheConsoleGoesOn(uint producer)
    {
        _page.WriteIndex(OutProducer, producer);
        _machine.Events.Send(_console.Port);
        Assert.True(SpinWait.SpinUntil(() => _page.ReadIndex(OutConsumer) == producer, TimeSpan.FromSeconds(10)));

        GuestPrints("still here");

        Assert.True(_sink.WaitFor("still here"));
    }

    [Fact]
    public void Input_Sent_ReachesTheGuestWithAnEvent()
    {
        Assert.Equal(5, _console.Send("root\r"u8));

        Assert.True(_machine.Notified.WaitOne(10_000));
        Assert.Equal("root\r", GuestReads());
    }

    [Fact]
    public void Input_MoreThanTheRing_WaitsForTheGuest()
    {
        byte[] input = new byte[10_000];
        new Random(3).NextBytes(input);

        Assert.Equal(input.Length, _console.Send(input));

        List<byte> read = [];
        while (read.Count < input.Length)
        {
            Assert.True(_machine.Notified.WaitOne(10_000), $"{read.Count} bytes came");
            read.AddRange(Encoding.Latin1.GetBytes(GuestReads()));
        }

        Assert.Equal(input, read);
    }

    [Fact]
    public async Task Input_GuestDoesNotRead_IsRefusedUntilItDoes()
    {
        byte[] input = new byte[ConsoleBackend.MaxPendingInput + InSize];
        int taken = 0;
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                taken += _console.Send(input.AsSpan(taken));
                return taken == input.Length;
            },
            TimeSpan.FromSeconds(10)));
        Assert.Equal(0, _console.Send("x"u8));
        Task room = _console.WhenInputHasRoomAsync(TestContext.Current.CancellationToken);
        Assert.False(room.IsCompleted);

        Assert.Equal(InSize, GuestReads().Length);

        await room.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        Assert.Equal(1, _console.Send("x"u8));
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(0x8000_0000u)]
    public void Input_ImpossibleConsumer_StopsInputButNotOutput(uint consumer)
    {
        _page.WriteIndex(InConsumer, consumer);

        _console.Send("abc"u8);
        GuestPrints("output");

        Assert.True(_sink.WaitFor("output"));
        Assert.Equal(0u, _page.ReadIndex(InProducer));
        _page.WriteIndex(InConsumer, 0);
        _machine.Events.Send(_console.Port);
        Assert.True(_machine.Notified.WaitOne(10_000));
        Assert.Equal("abc", GuestReads());
    }

    [Fact]
    public void Attach_WithReplay_GetsAllWithoutGapOrDoubling()
    {
        GuestPrints("before ");
        Assert.True(_sink.WaitFor("before "));
        MemorySink second = new();

        IDisposable attachment = _console.Attach(second);
        GuestPrints("after");
        Assert.True(second.WaitFor("before after"));
        attachment.Dispose();
        GuestPrints(" end");

        Assert.True(_sink.WaitFor("before after end"));
        Assert.Equal("before after", second.Text);
    }

    [Fact]
    public void Sink_Throwing_IsDetachedAndOthersGoOn()
    {
        _console.Attach(new BrokenSink(), replay: false);

        GuestPrints("one");
        Assert.True(_sink.WaitFor("one"));
        GuestPrints("two");

        Assert.True(_sink.WaitFor("onetwo"));
    }

    [Fact]
    public void WriteDirect_Panic_IsInTheScrollback()
    {
        _console.WriteDirect("Kernel panic - not syncing: test\n"u8);

        Assert.Equal("Kernel panic - not syncing: test", _console.Scrollback.LastLines(1));
        Assert.Equal("Kernel panic - not syncing: test\n", _sink.Text);
    }

    [Fact]
    public void Dispose_UndrainedOutput_IsTaken()
    {
        _page.CopyToRing(OutRing, OutSize, 0, "last words"u8);
        _page.WriteIndex(OutProducer, 10);

        _console.Dispose();

        Assert.Equal("last words", _sink.Text);
    }

    [Fact]
    public void Guest_RandomIndices_NeverHurtsTheHost()
    {
        int seed = Environment.TickCount;
        Random random = new(seed);
        int[] offsets = [InConsumer, InProducer, OutConsumer, OutProducer];
        for (int i = 0; i < 5000; i++)
        {
            uint value = random.Next(2) == 0 ? (uint)random.Next() * 2 : (uint)random.Next(4096);
            _page.WriteIndex(offsets[random.Next(4)], value);
            _machine.Events.Send(_console.Port);
            _console.Send("input"u8[..random.Next(5)]);
        }

        _page.WriteIndex(OutProducer, _page.ReadIndex(OutConsumer));
        _machine.Events.Send(_console.Port);
        Assert.True(
            SpinWait.SpinUntil(
                () =>
                {
                    GuestPrints("alive");
                    return _sink.Text.EndsWith("alive", StringComparison.Ordinal);
                },
                TimeSpan.FromSeconds(10)),
            $"seed {seed}");
    }

    private static GuestPages Primed(GuestPages page, uint index)
    {
        page.WriteIndex(OutConsumer, index);
        page.WriteIndex(OutProducer, index);
        return page;
    }

    /// <summary>The kernel's driver: writes what fits, notifies, and spins while the ring is full.</summary>
    private void GuestPrints(string text)
    {
        ReadOnlySpan<byte> bytes = Encoding.ASCII.GetBytes(text);
        long start = Stopwatch.GetTimestamp();
        while (!bytes.IsEmpty)
        {
            uint producer = _page.ReadIndex(OutProducer);
            uint used = producer - _page.ReadIndex(OutConsumer);
            int count = Math.Min(bytes.Length, used <= OutSize ? OutSize - (int)used : 0);
            _page.CopyToRing(OutRing, OutSize, producer, bytes[..count]);
            _page.WriteIndex(OutProducer, producer + (uint)count);
            _machine.Events.Send(_console.Port);
            bytes = bytes[count..];
            if (Stopwatch.GetElapsedTime(start) > TimeSpan.FromSeconds(10))
            {
                throw new TimeoutException("The console was not drained.");
            }
        }
    }

    private string GuestReads()
    {
        uint consumer = _page.ReadIndex(InConsumer);
        byte[] bytes = new byte[_page.ReadIndex(InProducer) - consumer];
        _page.CopyFromRing(0, InSize, consumer, bytes);
        _page.WriteIndex(InConsumer, consumer + (uint)bytes.Length);
        _machine.Events.Send(_console.Port);
        return Encoding.Latin1.GetString(bytes);
    }

    private sealed class BrokenSink : IConsoleSink
    {
        public void Write(ReadOnlySpan<byte> output) => throw new IOException("gone");
    }
}
