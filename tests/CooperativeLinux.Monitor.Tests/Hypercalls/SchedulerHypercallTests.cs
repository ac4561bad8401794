using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Tests.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Hypercalls;

public sealed class SchedulerHypercallTests : IDisposable
{
    private const ulong Argument = TestDomain.Scratch, Block = 1, Shutdown = 2, Poll = 3, Watchdog = 6;

    private readonly TestDomain _domain = new();

    public void Dispose() => _domain.Dispose();

    [Theory]
    [InlineData(0u, DomainOutcomeKind.PowerOff)]
    [InlineData(1u, DomainOutcomeKind.Reboot)]
    [InlineData(3u, DomainOutcomeKind.Crash)]
    [InlineData(4u, DomainOutcomeKind.Watchdog)]
    [InlineData(77u, DomainOutcomeKind.Crash)]
    public void Shutdown_Reason_EndsDomain(uint reason, DomainOutcomeKind expected)
    {
        _domain.Write(Argument, reason);

        _domain.Call(HypercallNumber.SchedOp, Shutdown, Argument);

        Assert.Equal(expected, _domain.Life.Outcome!.Kind);
    }

    [Fact]
    public void Shutdown_Suspend_IsCancelled()
    {
        _domain.Write(Argument, 2u);

        Assert.Equal(1, _domain.Call(HypercallNumber.SchedOp, Shutdown, Argument, 5));
        Assert.False(_domain.Life.HasEnded);
    }

    [Fact]
    public void Block_EventAlreadyPending_ReturnsUnmasked()
    {
        _domain.Vcpu.Info.UpcallMask = 1;
        _domain.Vcpu.Info.UpcallPending = 1;

        Assert.Equal(0, _domain.Call(HypercallNumber.SchedOp, Block));
        Assert.Equal(0, _domain.Vcpu.Info.UpcallMask);
    }

    [Fact]
    public async Task Block_EventRaisedByAnotherThread_Returns()
    {
        _domain.Events.BindVirq(1, 0, out _);
        Task raise = Task.Run(async () =>
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
            _domain.Events.RaiseVirq(0, 1);
        }, TestContext.Current.CancellationToken);

        _domain.Call(HypercallNumber.SchedOp, Block);
        await raise;

        Assert.Equal(1, _domain.Vcpu.Info.UpcallPending);
    }

    [Fact]
    public void Block_TimerSet_ReturnsNotBeforeItsDeadline()
    {
        _domain.Events.BindVirq(0, 0, out _);
        ulong deadline = (ulong)_domain.Clock.NowNs + 10_000_000;
        _domain.Call(HypercallNumber.SetTimerOp, deadline);

        _domain.Call(HypercallNumber.SchedOp, Block);

        Assert.True((ulong)_domain.Clock.NowNs >= deadline);
        Assert.Equal(1, _domain.Vcpu.Info.UpcallPending);
    }

    [Fact]
    public async Task Block_DomainEnds_Returns()
    {
        _domain.Life.Ended += () => _domain.Vcpu.Scheduler.TryWake();
        Task end = Task.Run(async () =>
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
            _domain.Life.End(new DomainOutcome(DomainOutcomeKind.Stopped, string.Empty));
        }, TestContext.Current.CancellationToken);

        _domain.Call(HypercallNumber.SchedOp, Block);
        await end;

        Assert.True(_domain.Life.HasEnded);
    }

    [Fact]
    public void Poll_TimeOut_Returns()
    {
        WritePoll(0, (ulong)_domain.Clock.NowNs + 5_000_000);

        Assert.Equal(0, _domain.Call(HypercallNumber.SchedOp, Poll, Argument));
    }

    [Fact]
    public async Task Poll_MaskedPortRaised_Returns()
    {
        _domain.Events.BindVirq(1, 0, out uint port);
        _domain.Events.SharedInfo.Value.Mask[0] = ulong.MaxValue;
        _domain.Write(Argument + 64, port);
        WritePoll(1, 0);
        Task raise = Task.Run(async () =>
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
            _domain.Events.RaiseVirq(0, 1);
        }, TestContext.Current.CancellationToken);

        long result = _domain.Call(HypercallNumber.SchedOp, Poll, Argument);
        await raise;

        Assert.Equal(0, result);
        Assert.Equal(0, _domain.Vcpu.Info.UpcallPending);
    }

    [Theory]
    [InlineData(129u, -XenError.EINVAL)]
    [InlineData(1u, -XenError.EINVAL)]
    public void Poll_BadPorts_AreRefused(uint count, long expected)
    {
        _domain.Write(Argument + 64, 5000u);
        WritePoll(count, 0);

        Assert.Equal(expected, _domain.Call(HypercallNumber.SchedOp, Poll, Argument));
    }

    [Fact]
    public void Watchdog_Ids_AreManaged()
    {
        Assert.Equal(1, SetWatchdog(0, 1000));
        Assert.Equal(2, SetWatchdog(0, 1000));
        Assert.Equal(-XenError.ENOSPC, SetWatchdog(0, 1000));
        Assert.Equal(0, SetWatchdog(1, 0));
        Assert.Equal(-XenError.EEXIST, SetWatchdog(1, 5));
        Assert.Equal(0, SetWatchdog(2, 0));
        Assert.Equal(-XenError.EINVAL, SetWatchdog(3, 5));
    }

    private long SetWatchdog(uint id, uint seconds)
    {
        _domain.Write(Argument, id);
        _domain.Write(Argument + 4, seconds);
        return _domain.Call(HypercallNumber.SchedOp, Watchdog, Argument);
    }

    private void WritePoll(uint count, ulong timeout)
    {
        _domain.Write(Argument, Argument + 64);
        _domain.Write(Argument + 8, count);
        _domain.Write(Argument + 16, timeout);
    }
}
