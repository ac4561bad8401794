using CooperativeLinux.Host.Timing;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Tests.Events;
using CooperativeLinux.Monitor.Time;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Time;

public sealed class VcpuTimersTests : IDisposable
{
    private const long Millisecond = 1_000_000;

    private readonly EventFixture _fixture = new();
    private readonly PvClock _clock;
    private readonly VcpuTimers _timers;
    private readonly uint[] _ports = new uint[2];

    public VcpuTimersTests()
    {
        _clock = new PvClock(_fixture.Channels.SharedInfo, _fixture.Channels.Vcpus, new StopwatchCounter());
        _timers = new VcpuTimers(_clock, _fixture.Channels, _fixture);
        _fixture.Channels.BindVirq(Virq.Timer, 0, out _ports[0]);
        _fixture.Channels.BindVirq(Virq.Timer, 1, out _ports[1]);
    }

    public void Dispose()
    {
        _timers.Dispose();
        _fixture.Dispose();
    }

    [Fact]
    public void SetSingleShot_Past_RaisesAtOnceOrIsRefused()
    {
        Assert.Equal(-XenError.ETIME, _timers.SetSingleShot(0, 1, onlyFuture: true));
        Assert.False(_fixture.Channels.IsPending(_ports[0]));

        Assert.Equal(0, _timers.SetSingleShot(0, 1));

        Assert.True(_fixture.Channels.IsPending(_ports[0]));
        Assert.Equal(VcpuTimers.Never, _timers.NextDeadlineNs(0));
    }

    [Fact]
    public void SetSingleShot_RunningVcpu_IsRaisedByTheThreadNotEarlyAndOnlyThere()
    {
        long raisedAt = 0;
        _fixture.OnKick = _ => Volatile.Write(ref raisedAt, _clock.NowNs);
        long deadline = _clock.NowNs + (5 * Millisecond);

        Assert.Equal(0, _timers.SetSingleShot(1, (ulong)deadline));

        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref raisedAt) != 0, TimeSpan.FromSeconds(10)));
        Assert.True(raisedAt >= deadline);
        Assert.True(_fixture.Channels.IsPending(_ports[1]));
        Assert.False(_fixture.Channels.IsPending(_ports[0]));
        Assert.Equal(VcpuTimers.Never, _timers.NextDeadlineNs(1));
    }

    [Fact]
    public void SetSingleShot_EarlierDeadlineThanTheThreadSleepsFor_WakesIt()
    {
        _timers.SetSingleShot(0, (ulong)(_clock.NowNs + (60_000 * Millisecond)));
        Thread.Sleep(5);

        _timers.SetSingleShot(1, (ulong)(_clock.NowNs + (2 * Millisecond)));

        Assert.True(SpinWait.SpinUntil(() => _fixture.Channels.IsPending(_ports[1]), TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void StopSingleShot_BeforeTheDeadline_RaisesNothing()
    {
        _timers.SetSingleShot(0, (ulong)(_clock.NowNs + (20 * Millisecond)));

        Assert.Equal(0, _timers.StopSingleShot(0));

        Thread.Sleep(40);
        Assert.False(_fixture.Channels.IsPending(_ports[0]));
    }

    [Fact]
    public void SetSingleShot_FarFuture_IsKept()
    {
        Assert.Equal(0, _timers.SetSingleShot(0, ulong.MaxValue));
        Assert.Equal(VcpuTimers.Never, _timers.NextDeadlineNs(0));
        Assert.Equal(-XenError.ENOENT, _timers.SetSingleShot(2, 5));
        Assert.Equal(-XenError.ENOENT, _timers.StopSingleShot(-1));
    }

    [Fact]
    public void Periodic_UntilStopped_RaisesAgainAndAgain()
    {
        Assert.Equal(-XenError.EINVAL, _timers.SetPeriodic(0, 999_999));
        Assert.Equal(0, _timers.SetPeriodic(0, 2 * (ulong)Millisecond));

        for (int i = 0; i < 3; i++)
        {
            Assert.True(SpinWait.SpinUntil(() => _fixture.Channels.IsPending(_ports[0]), TimeSpan.FromSeconds(10)));
            _fixture.Shared.Pending[0] = 0;
        }

        Assert.Equal(0, _timers.StopPeriodic(0));
        Thread.Sleep(5);
        _fixture.Shared.Pending[0] = 0;
        Thread.Sleep(20);
        Assert.False(_fixture.Channels.IsPending(_ports[0]));
    }

    [Fact]
    public void SleepUntil_OwnDeadline_EndsByTheTimerEventWithoutTheThread()
    {
        using PreciseEvent wake = PreciseEvent.Create();
        _fixture.OnKick = _ => wake.Set();
        _fixture.Channels.UnmaskUpcalls(0);
        long[] late = new long[20];
        for (int i = 0; i < late.Length; i++)
        {
            _fixture.Info(0).UpcallPending = 0;
            _fixture.Info(0).PendingSelector = 0;
            _fixture.Shared.Pending[0] = 0;
            long deadline = _clock.NowNs + 2_300_000;
            _timers.SetSingleShot(0, (ulong)deadline);

            Assert.True(_timers.SleepUntil(0, wake, () => _fixture.Channels.HasPendingUpcall(0)));
            late[i] = _clock.NowNs - deadline;
        }

        Array.Sort(late);
        TestContext.Current.SendDiagnosticMessage($"late by {late[0] / 1000.0:F1} us at least, {late[late.Length / 2] / 1000.0:F1} us in the middle, {late[^1] / 1000.0:F1} us at most");
        Assert.True(late[0] >= 0);

        // The best, since the machine may be busy; a timer that rounds to milliseconds is never as good.
        Assert.True(late[0] < 400_000, $"always late by more than {late[0]} ns");
    }

    [Fact]
    public void SleepUntil_Timeout_ReturnsFalse()
    {
        using PreciseEvent wake = PreciseEvent.Create();
        long timeout = _clock.NowNs + (2 * Millisecond);

        Assert.False(_timers.SleepUntil(0, wake, () => false, timeout));

        Assert.True(_clock.NowNs >= timeout);
    }

    [Fact]
    public void SleepUntil_TimerSetByAnotherVcpu_IsNoticed()
    {
        using PreciseEvent wake = PreciseEvent.Create();
        _fixture.OnKick = _ => wake.Set();
        Thread other = new(() =>
        {
            Thread.Sleep(10);
            _timers.SetSingleShot(0, (ulong)(_clock.NowNs + Millisecond));
        });
        other.Start();

        Assert.True(_timers.SleepUntil(0, wake, () => _fixture.Channels.IsPending(_ports[0]), _clock.NowNs + (10_000 * Millisecond)));
        other.Join();
    }

    [Fact]
    public void SleepUntil_EndedEarly_HandsTheDeadlineBackToTheThread()
    {
        using PreciseEvent wake = PreciseEvent.Create();
        bool isDone = false;
        Thread other = new(() =>
        {
            Thread.Sleep(5);
            Volatile.Write(ref isDone, true);
            wake.Set();
        });
        _timers.SetSingleShot(0, (ulong)(_clock.NowNs + (60 * Millisecond)));
        other.Start();

        Assert.True(_timers.SleepUntil(0, wake, () => Volatile.Read(ref isDone)));

        Assert.True(SpinWait.SpinUntil(() => _fixture.Channels.IsPending(_ports[0]), TimeSpan.FromSeconds(10)));
        other.Join();
    }
}
