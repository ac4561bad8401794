using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Tests.Events;
using CooperativeLinux.Monitor.Time;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Time;

public sealed class PvClockTests : IDisposable
{
    private static readonly DateTimeOffset _noon = new(2026, 3, 1, 12, 0, 0, 250, TimeSpan.Zero);

    private readonly EventFixture _fixture = new(vcpuCount: 40);
    private readonly FakeCounter _counter = new(3_000_000);
    private readonly FixedTime _time = new(_noon);
    private readonly PvClock _clock;

    public PvClockTests() => _clock = new PvClock(_fixture.Channels.SharedInfo, _fixture.Channels.Vcpus, _counter, _time);

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void Constructor_AllVcpus_HaveValidStableTime()
    {
        for (int vcpu = 0; vcpu < SharedInfo.LegacySlots; vcpu++)
        {
            VcpuTimeInfo info = _fixture.Info(vcpu).Time;
            Assert.Equal(0u, info.Version & 1);
            Assert.NotEqual(0u, info.Version);
            Assert.Equal(1, info.Flags);
            Assert.Equal(_counter.Read(), info.TscTimestamp);
            Assert.Equal(0UL, info.SystemTime);
            Assert.Equal(_clock.Scale.Multiplier, info.TscMultiplier);
            Assert.Equal(_clock.Scale.Shift, info.TscShift);
        }
    }

    [Fact]
    public void ContinueFrom_CounterSetBack_GoesOn()
    {
        _counter.Advance(30_000_000_000);
        long before = _clock.NowNs;
        _counter.Advance(unchecked((ulong)-25_000_000_000L));

        _clock.ContinueFrom(before);
        _counter.Advance(3_000_000_000);

        Assert.InRange(_clock.NowNs, before + 999_999_990, before + 1_000_000_000);
        Assert.Equal((ulong)before, _fixture.Info(0).Time.SystemTime);
        Assert.Equal(0u, _fixture.Info(0).Time.Version & 1);
    }

    [Fact]
    public void NowNs_AfterTicks_IsWhatTheGuestComputes()
    {
        _counter.Advance(3_000_000_000);

        Assert.InRange(_clock.NowNs, 999_999_990, 1_000_000_000);
        Assert.Equal(GuestNow(_fixture.Info(0).Time), _clock.NowNs);
    }

    [Fact]
    public void Register_MovedVcpuInfo_HasTimeAtTheNewPlace()
    {
        Assert.Equal(0, _fixture.Channels.RegisterVcpuInfo(0, 4, 64));
        Assert.Equal(0, _fixture.Channels.RegisterVcpuInfo(39, 4, 256));
        _counter.Advance(300);

        Assert.Equal(100, GuestNow(_fixture.Info(39).Time), 1.0);
        Assert.Equal(GuestNow(_fixture.Info(39).Time), GuestNow(_fixture.Info(0).Time));
        Assert.Equal(0u, _fixture.Info(0).Time.Version & 1);
        Assert.NotEqual(0, _fixture.Memory.Frame(4)[256 + 32 + 29]);
    }

    [Fact]
    public void WallClock_IsTimeOfDayAtSystemTimeZero()
    {
        _counter.Advance(6_000_000_000);
        _time.Now = _noon + TimeSpan.FromSeconds(2);

        _clock.SetWallClock();

        ref SharedInfo shared = ref _fixture.Shared;
        Assert.Equal(0u, shared.WallClockVersion & 1);
        Assert.Equal(0u, shared.WallClockSecondsHigh);
        double atZero = shared.WallClockSeconds + (shared.WallClockNanoseconds / 1e9);
        Assert.Equal(_noon.ToUnixTimeMilliseconds() / 1000.0, atZero, 1e-3);
    }

    [Fact]
    public void Rebase_SavedTime_GoesOnFromThereWithANewVersion()
    {
        uint version = _fixture.Info(0).Time.Version;
        _counter.Advance(12_345_678);

        _clock.Rebase(5_000_000_000);

        Assert.Equal(5_000_000_000, _clock.NowNs);
        Assert.Equal(5_000_000_000, GuestNow(_fixture.Info(0).Time));
        Assert.Equal(version + 2, _fixture.Info(0).Time.Version);
    }

    [Fact]
    public void SetTimeArea_Writer_GetsOddThenEvenVersionNowAndAtChanges()
    {
        List<VcpuTimeInfo> written = [];

        Assert.True(_clock.SetTimeArea(0, (in VcpuTimeInfo info) => { written.Add(info); return true; }));
        _clock.Rebase(77);

        Assert.Equal(4, written.Count);
        Assert.Equal(1u, written[0].Version & 1);
        Assert.Equal(written[0].Version + 1, written[1].Version);
        Assert.Equal(1, written[1].Flags);
        Assert.Equal(_fixture.Info(0).Time, written[3]);
        Assert.NotEqual(written[1].Version, written[3].Version);
    }

    [Fact]
    public void SetTimeArea_FailingWriterOrNoVcpu_ReturnsFalse()
    {
        int calls = 0;

        Assert.False(_clock.SetTimeArea(0, (in VcpuTimeInfo _) => { calls++; return false; }));
        Assert.False(_clock.SetTimeArea(40, (in VcpuTimeInfo _) => true));
        _clock.Rebase(1);

        Assert.Equal(1, calls);
    }

    [Fact]
    public void Update_VersionScribbledByGuest_EndsEven()
    {
        _fixture.Info(0).Time.Version = uint.MaxValue;

        _clock.Rebase(1);

        Assert.Equal(0u, _fixture.Info(0).Time.Version & 1);
    }

    // The guest's arithmetic, written independently.
    private long GuestNow(VcpuTimeInfo info)
    {
        System.Numerics.BigInteger delta = _counter.Read() - info.TscTimestamp;
        delta = info.TscShift >= 0 ? delta << info.TscShift : delta >> -info.TscShift;
        return (long)(info.SystemTime + ((delta * info.TscMultiplier) >> 32));
    }

    private sealed class FixedTime(DateTimeOffset now) : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = now;

        public override DateTimeOffset GetUtcNow() => Now;
    }
}
