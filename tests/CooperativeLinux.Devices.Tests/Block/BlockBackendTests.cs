using System.Buffers.Binary;
using CooperativeLinux.Devices.Block;
using CooperativeLinux.Devices.Xenbus;
using Microsoft.Extensions.Logging;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Block;

public sealed class BlockBackendTests : IDisposable
{
    private const int Device = 51712;
    private const string Back = "/local/domain/0/backend/vbd/1/51712";
    private const uint Data = 64;
    private const uint Pages = 100;

    private readonly TestMachine _machine = new();
    private readonly MemoryDisk _disk = new();
    private readonly BlockBackend _backend;

    public BlockBackendTests()
    {
        new Random(1).NextBytes(_disk.Content);
        _backend = new BlockBackend(_machine.Context, 0, _disk);
        for (uint frame = Data; frame < Data + Pages; frame++)
        {
            _machine.Grant(frame, frame);
        }
    }

    public void Dispose()
    {
        _backend.Dispose();
        _machine.Dispose();
    }

    [Theory]
    [InlineData(false, "w", "0", "1")]
    [InlineData(true, "r", "4", null)]
    public void Start_Nodes_DescribeTheDisk(bool isReadOnly, string mode, string info, string? discard)
    {
        _disk.IsLocked = isReadOnly;

        _backend.Start();

        Assert.Equal("51712", _machine.Store.Read("/local/domain/1/device/vbd/51712/virtual-device"));
        Assert.Equal("2048", _machine.Store.Read(Back + "/sectors"));
        Assert.Equal("512", _machine.Store.Read(Back + "/sector-size"));
        Assert.Equal(mode, _machine.Store.Read(Back + "/mode"));
        Assert.Equal(info, _machine.Store.Read(Back + "/info"));
        Assert.Equal("1", _machine.Store.Read(Back + "/feature-flush-cache"));
        Assert.Equal(discard, _machine.Store.Read(Back + "/feature-discard"));
    }

    [Fact]
    public void Read_SegmentsOfAllShapes_GetTheirSectors()
    {
        BlockFrontend guest = Connect();

        short status = guest.Do(guest.Direct(BlockFrontend.Read, 3, Segment(5, 2, 3), Segment(6), Segment(7), Segment(3, 7, 7), Segment(9, 0, 0)));

        Assert.Equal(BlockFrontend.Okay, status);
        byte[] expected = _disk.Content.AsSpan(3 * 512, 20 * 512).ToArray();
        byte[] got = [.. Sectors(5, 2, 3), .. Sectors(6), .. Sectors(7), .. Sectors(3, 7, 7), .. Sectors(9, 0, 0)];
        Assert.Equal(expected, got);
        Assert.Equal(0, Sectors(5, 4, 7).Max());
    }

    [Fact]
    public void Write_ReadOnlyGrant_IsEnoughAndIsNotWrittenTo()
    {
        BlockFrontend guest = Connect();
        _machine.Memory.Frame(Data).Fill(0x5a);
        BinaryPrimitives.WriteUInt32LittleEndian(_machine.Memory.Frame(CooperativeLinux.Monitor.Domain.SpecialFrames.GrantTable)[((int)Data * 8)..], 1 | 4);

        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Write, 8, Segment(0))));
        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.Read, 0, Segment(0))));

        Assert.All(_disk.Content[4096..8192], value => Assert.Equal(0x5a, value));
        Assert.All(_machine.Memory.Frame(Data).ToArray(), value => Assert.Equal(0x5a, value));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(32)]
    [InlineData(96)]
    public void Indirect_Segments_MoveAll(int count)
    {
        BlockFrontend guest = Connect();
        byte[] expected = new byte[count * 4096];
        new Random(count).NextBytes(expected);
        for (int i = 0; i < count; i++)
        {
            // Backwards, so that no two pages can be joined.
            expected.AsSpan(i * 4096, 4096).CopyTo(_machine.Memory.Frame(Data + Pages - 1 - (ulong)i));
        }

        byte[][] segments = [.. Enumerable.Range(0, count).Select(i => Segment((int)Pages - 1 - i))];
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.InPage(BlockFrontend.Write, 16, 60, segments)));
        Assert.Equal(expected, _disk.Content[8192..(8192 + expected.Length)]);

        byte[][] forward = [.. Enumerable.Range(0, count).Select(i => Segment(i))];
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.InPage(BlockFrontend.Read, 16, 60, forward)));
        Assert.Equal(expected, Enumerable.Range(0, count).SelectMany(i => Sectors(i)).ToArray());
    }

    [Theory]
    [InlineData(0, 32)]
    [InlineData(2, 128)]
    [InlineData(4, 512)]
    public void Ring_OfAnySize_TakesAllItsRequestsAtOnce(int order, int count)
    {
        BlockFrontend guest = Connect(order);
        using ManualResetEventSlim go = new();
        _disk.OnStart = _ => go.Wait(10_000);

        ulong[] ids = [.. Enumerable.Range(0, count).Select(i => guest.Post(guest.Direct(BlockFrontend.Read, (ulong)i, Segment(i % (int)Pages, 0, 0))))];
        go.Set();

        Assert.All(ids, id => Assert.Equal(BlockFrontend.Okay, guest.WaitFor(id).Status));
    }

    [Fact]
    public void Requests_OfASlowDisk_AreInFlightTogether()
    {
        BlockFrontend guest = Connect();
        using CountdownEvent together = new(3);
        _disk.OnStart = _ =>
        {
            together.Signal();
            together.Wait(10_000);
        };

        ulong[] ids = [.. Enumerable.Range(0, 3).Select(i => guest.Post(guest.Direct(BlockFrontend.Read, 0, Segment(i))))];

        Assert.All(ids, id => Assert.Equal(BlockFrontend.Okay, guest.WaitFor(id).Status));
        Assert.Equal(3, _disk.MostRunning);
    }

    [Fact]
    public void Read_HeldInMemory_IsDoneByWhoNotifiesAndOthersAreNot()
    {
        BlockFrontend guest = Connect();
        using ManualResetEventSlim go = new();
        _disk.IsCached = offset => offset < 8192;
        _disk.OnStart = what =>
        {
            if (what is "read 16384" or "write 32768")
            {
                go.Wait(10_000, TestContext.Current.CancellationToken);
            }
        };

        // Two that wait for the disk do not hold up what does not.
        ulong slow = guest.Post(guest.Direct(BlockFrontend.Read, 32, Segment(0)));
        ulong write = guest.Post(guest.Direct(BlockFrontend.Write, 64, Segment(1)));
        byte[] expected = _disk.Content[4096..8192];
        for (int i = 0; i < 100; i++)
        {
            _machine.Memory.Frame(Data + 2).Clear();
            Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Read, 8, Segment(2))));
            Assert.Equal(expected, Sectors(2));
        }

        Assert.InRange(_disk.CachedReads.Count, 50, 100);
        Assert.Equal(Environment.CurrentManagedThreadId, _disk.CachedReads.Thread);
        Assert.DoesNotContain("write 32768", _disk.Done);
        go.Set();
        Assert.Equal(BlockFrontend.Okay, guest.WaitFor(slow).Status);
        Assert.Equal(BlockFrontend.Okay, guest.WaitFor(write).Status);
        Assert.Equal(_disk.Content[(32 * 512)..(40 * 512)], Sectors(0));
    }

    [Fact]
    public void Write_Quick_IsDoneByWhoNotifiesUntilOneTakesLong()
    {
        _disk.AreWritesQuick = true;
        BlockFrontend guest = Connect();
        // On a busy machine, any write may have taken long.
        Assert.True(SpinWait.SpinUntil(() => IsWrittenHere(), TimeSpan.FromSeconds(20)));
        _disk.OnStart = _ => Thread.Sleep(100);
        Assert.True(SpinWait.SpinUntil(() => IsWrittenHere(), TimeSpan.FromSeconds(20)));
        Assert.False(IsWrittenHere());
        Assert.Equal(_disk.Content[4096..8192], Sectors(0));

        bool IsWrittenHere()
        {
            Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Write, 8, Segment(0))));
            return _disk.Writers[^1] == Environment.CurrentManagedThreadId;
        }
    }

    [Fact]
    public void Write_LargeAndQuick_IsDoneByWhoNotifiesAndTriedWithThreads()
    {
        _disk.AreWritesQuick = true;
        BlockFrontend guest = Connect();
        byte[][] segments = [.. Enumerable.Range(0, 64).Select(i => Segment(i))];
        int notifier = Environment.CurrentManagedThreadId;

        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                Assert.Equal(BlockFrontend.Okay, guest.Do(guest.InPage(BlockFrontend.Write, 8, 60, segments)));
                return _disk.Writers.Contains(notifier) && _disk.Writers.Any(writer => writer != notifier);
            },
            TimeSpan.FromSeconds(20)));
        Assert.Equal(_disk.Content[4096..8192], Sectors(0));
    }

    [Fact]
    public void Write_QuickThatFails_IsAnError()
    {
        _disk.AreWritesQuick = true;
        _disk.OnStart = _ => throw new IOException("no room");
        BlockFrontend guest = Connect();

        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.Write, 8, Segment(0))));

        _disk.OnStart = _ => { };
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Write, 8, Segment(0))));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Writes_WhileAnotherIsDone_WaitForItsThreadAndAreJoined(bool isOneBad)
    {
        _disk.AreWritesQuick = true;
        BlockFrontend guest = Connect();
        using ManualResetEventSlim go = new();
        _disk.OnStart = what =>
        {
            if (what is "read 0" or "write 0")
            {
                go.Wait(10_000, TestContext.Current.CancellationToken);
            }
            else if (isOneBad && what == "write 8192")
            {
                throw new IOException("no room");
            }
        };

        // With a read in flight, the first write is a thread's.
        ulong read = guest.Post(guest.Direct(BlockFrontend.Read, 0, Segment(9)));
        ulong[] ids = [.. ((int[])[0, 2, 3, 4, 6]).Select(i => guest.Post(guest.Direct(BlockFrontend.Write, (ulong)i * 8, Segment(i))))];
        Thread.Sleep(50);
        Assert.Empty(_disk.Done);
        go.Set();

        Assert.Equal(BlockFrontend.Okay, guest.WaitFor(read).Status);
        short[] expected = [BlockFrontend.Okay, isOneBad ? BlockFrontend.Error : BlockFrontend.Okay, BlockFrontend.Okay, BlockFrontend.Okay, BlockFrontend.Okay];
        Assert.Equal(expected, ids.Select(id => guest.WaitFor(id).Status));
        string[] written = isOneBad ? ["write 0", "write 12288", "write 16384", "write 24576"] : ["write 0", "write 8192", "write 24576"];
        Assert.Equal(written, _disk.Done.Where(what => what.StartsWith("write", StringComparison.Ordinal)));
        Assert.Single(_disk.Writers.Distinct());
        Assert.Equal(_disk.Content[12288..20480], (byte[])[.. Sectors(3), .. Sectors(4)]);
    }

    [Fact]
    public void Writes_OfASlowDisk_AreInFlightTogether()
    {
        _disk.AreWritesQuick = true;
        BlockFrontend guest = Connect();
        _disk.OnStart = _ => Thread.Sleep(30);
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Write, 0, Segment(0))));

        ulong[] ids = [.. Enumerable.Range(0, 4).Select(i => guest.Post(guest.Direct(BlockFrontend.Write, (ulong)i * 8, Segment(i))))];

        Assert.All(ids, id => Assert.Equal(BlockFrontend.Okay, guest.WaitFor(id).Status));
        Assert.InRange(_disk.MostRunning, 2, 4);
    }

    [Fact]
    public void Flush_AndDiscard_ReachTheDisk()
    {
        BlockFrontend guest = Connect();

        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Flush, 0)));
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Discards(16, 32)));
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Discards(0, 2048)));

        Assert.Equal(["flush", "discard 8192 16384", "discard 0 1048576"], _disk.Done);
    }

    [Fact]
    public void WriteBarrier_WaitsForWhatWasBeforeAndComesBeforeWhatIsAfter()
    {
        BlockFrontend guest = Connect();
        using ManualResetEventSlim go = new();
        using CountdownEvent started = new(2);
        _disk.OnStart = what =>
        {
            if (what is "write 0" or "write 4096")
            {
                started.Signal();
                go.Wait(10_000);
            }
        };
        List<ulong> ids = [guest.Post(Writes(0)), guest.Post(Writes(8))];
        Assert.True(started.Wait(10_000, TestContext.Current.CancellationToken));

        ids.Add(guest.Post(guest.Direct(BlockFrontend.WriteBarrier, 16, Segment(2))));
        ids.Add(guest.Post(Writes(24)));
        ids.Add(guest.Post(Writes(32)));
        Thread.Sleep(50);
        Assert.Empty(_disk.Done);
        go.Set();

        ids.ForEach(id => Assert.Equal(BlockFrontend.Okay, guest.WaitFor(id).Status));
        Assert.Equal(["write 0", "write 4096"], _disk.Done[..2].Order());
        Assert.Equal(["write 8192", "flush"], _disk.Done[2..4]);

        byte[] Writes(ulong sector) => guest.Direct(BlockFrontend.Write, sector, Segment(1));
    }

    [Fact]
    public void Grants_KeptByTheFrontend_ServeAgainAndAgain()
    {
        BlockFrontend guest = Connect();
        for (int i = 0; i < 200; i++)
        {
            Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Read, (ulong)i, Segment(0, 0, 0))));
            Assert.Equal(_disk.Content[(i * 512)..((i + 1) * 512)], Sectors(0, 0, 0));
        }
    }

    [Fact]
    public void Requests_ThatCannotBe_FailAloneAndTheNextGoesOn()
    {
        BlockFrontend guest = Connect();
        byte[] before = [.. _disk.Content];
        byte[] manySegments = guest.Direct(BlockFrontend.Write, 0, Segment(0));
        manySegments[1] = 12;
        byte[] indirectInIndirect = guest.InPage(BlockFrontend.Indirect, 0, 60, Segment(0));
        byte[] manyIndirect = guest.InPage(BlockFrontend.Write, 0, 60, Segment(0));
        BinaryPrimitives.WriteUInt16LittleEndian(manyIndirect.AsSpan(2), 257);
        byte[] ungrantedPage = guest.InPage(BlockFrontend.Write, 0, 60, Segment(0));
        BinaryPrimitives.WriteUInt32LittleEndian(ungrantedPage.AsSpan(28), 61);
        byte[] secureDiscard = guest.Discards(0, 8);
        secureDiscard[1] = 1;

        (short Expected, byte[] Request)[] requests =
        [
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, 2041, Segment(0))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, 1 << 20, Segment(0))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, ulong.MaxValue, Segment(0))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, ulong.MaxValue >> 9, Segment(0))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, 0, Segment(0, 5, 4))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, 0, Segment(0, 0, 8))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, 0, Segment(0, 255, 255))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, 0, Segment(0), BlockFrontend.Segment(61))),
            (BlockFrontend.Error, guest.Direct(BlockFrontend.Write, 0, BlockFrontend.Segment(uint.MaxValue))),
            (BlockFrontend.Error, manySegments),
            (BlockFrontend.Error, indirectInIndirect),
            (BlockFrontend.Error, manyIndirect),
            (BlockFrontend.Error, ungrantedPage),
            (BlockFrontend.Error, guest.Discards(1, 2048)),
            (BlockFrontend.Error, guest.Discards(0, ulong.MaxValue)),
            (BlockFrontend.Unsupported, secureDiscard),
            (BlockFrontend.Unsupported, guest.Direct(4, 0)),
            (BlockFrontend.Unsupported, guest.Direct(255, 0)),
            (BlockFrontend.Okay, guest.Direct(BlockFrontend.Write, 2048)),
            (BlockFrontend.Okay, guest.Direct(BlockFrontend.Read, 0, Segment(0))),
        ];

        Assert.All(requests, request => Assert.Equal(request.Expected, guest.Do(request.Request)));
        Assert.Equal(before, _disk.Content);
        Assert.Equal(XenbusState.Connected, _backend.State);
    }

    [Fact]
    public void ReadOnlyDisk_Writes_AreErrors()
    {
        _disk.IsLocked = true;
        BlockFrontend guest = Connect();

        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.Write, 0, Segment(0))));
        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.WriteBarrier, 0, Segment(0))));
        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Discards(0, 8)));
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Flush, 0)));
        Assert.Equal(["flush"], _disk.Done);
    }

    [Fact]
    public void Host_ThatFails_GivesTheGuestErrorsAndTheDiskGoesOn()
    {
        BlockFrontend guest = Connect();
        _disk.OnStart = what => throw (what == "discard" ? new NotSupportedException("no holes") : new IOException("No space left on device"));

        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.Write, 0, Segment(0))));
        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.Flush, 0)));
        Assert.Equal(BlockFrontend.Unsupported, guest.Do(guest.Discards(0, 8)));
        _disk.OnStart = _ => throw new InvalidOperationException("a fault of ours");
        Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.Write, 0, Segment(0))));
        _disk.OnStart = _ => { };
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Write, 0, Segment(0))));
    }

    [Theory]
    [InlineData(33u)]
    [InlineData(0x8000_0000u)]
    [InlineData(uint.MaxValue)]
    public void Ring_ImpossibleIndex_ClosesTheDevice(uint producer)
    {
        BlockFrontend guest = Connect();

        guest.Ring.WriteIndex(0, producer);
        _machine.Events.Send(guest.Port);

        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.Closing, TimeSpan.FromSeconds(10)));
        Assert.Contains("index", _machine.Store.Read("/local/domain/0/error/backend/vbd/51712/error"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("protocol", "x86_32-abi")]
    [InlineData("ring-page-order", "5")]
    [InlineData("ring-page-order", "1")]
    [InlineData("ring-ref", "7")]
    [InlineData("event-channel", "9")]
    public void Frontend_BadKeys_CloseTheDevice(string key, string value)
    {
        _backend.Start();
        _machine.GuestWrites("device/vbd/51712/ring-ref", "7");
        _machine.GuestWrites("device/vbd/51712/event-channel", "9");
        _machine.GuestWrites($"device/vbd/51712/{key}", value);
        _machine.GuestWrites("device/vbd/51712/state", "3");

        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.Closing, TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void Driver_LoadedAnew_IsServedAgain()
    {
        BlockFrontend guest = Connect();
        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Read, 0, Segment(0))));

        _machine.GuestWrites("device/vbd/51712/state", "6");
        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.Closed, TimeSpan.FromSeconds(10)));
        _machine.GuestWrites("device/vbd/51712/state", "1");
        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.InitWait, TimeSpan.FromSeconds(10)));
        Connected(guest);

        Assert.Equal(BlockFrontend.Okay, guest.Do(guest.Direct(BlockFrontend.Read, 8, Segment(0))));
        Assert.Equal(_disk.Content[4096..8192], Sectors(0));
    }

    [Fact]
    public void Driver_LoadedAnewToDoWrongForEver_IsToldOfAFewTimes()
    {
        using CollectingLoggers loggers = new();
        using TestMachine machine = new() { Loggers = loggers };
        using BlockBackend backend = new(machine.Context, 0, _disk);
        backend.Start();
        BlockFrontend guest = new(machine, Device);
        for (int i = 0; i < 20; i++)
        {
            guest.Connect();
            Assert.True(SpinWait.SpinUntil(() => backend.State == XenbusState.Connected, TimeSpan.FromSeconds(10)));
            Assert.Equal(BlockFrontend.Error, guest.Do(guest.Direct(BlockFrontend.Read, 1 << 20, Segment(0))));
            machine.GuestWrites("device/vbd/51712/state", "1");
            Assert.True(SpinWait.SpinUntil(() => backend.State == XenbusState.InitWait, TimeSpan.FromSeconds(10)));
            machine.Events.Close(guest.Port);
        }

        Assert.InRange(loggers.Lines.Count(line => line.Level >= LogLevel.Warning), 1, 5);
    }

    private static byte[] Segment(int page, int first = 0, int last = 7) => BlockFrontend.Segment(Data + (uint)page, first, last);

    private byte[] Sectors(int page, int first = 0, int last = 7) =>
        _machine.Memory.Frame(Data + (ulong)page).Slice(first * 512, (last - first + 1) * 512).ToArray();

    private BlockFrontend Connect(int order = 0)
    {
        _backend.Start();
        BlockFrontend guest = new(_machine, Device, order);
        Connected(guest);
        return guest;
    }

    private void Connected(BlockFrontend guest)
    {
        guest.Connect();
        Assert.True(SpinWait.SpinUntil(() => _backend.State == XenbusState.Connected, TimeSpan.FromSeconds(10)));
    }
}
