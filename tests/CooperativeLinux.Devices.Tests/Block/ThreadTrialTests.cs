using System.Diagnostics;
using CooperativeLinux.Devices.Block;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Block;

public sealed class ThreadTrialTests
{
    private const int Mebibyte = 1 << 20;

    private readonly ThreadTrial _trial = new();
    private long _now = 1;

    [Theory]
    [InlineData(200, 150, true)]
    [InlineData(200, 195, false)]
    [InlineData(200, 300, false)]
    public void IsForThread_AfterBothWereTried_IsWhatWasClearlyFaster(int vcpuMicroseconds, int threadMicroseconds, bool isThread)
    {
        int byThreads = Count(10_000, vcpuMicroseconds, threadMicroseconds);

        Assert.InRange(byThreads, isThread ? 9_000 : 1, isThread ? 9_999 : 1_000);
    }

    [Fact]
    public void IsForThread_WhenWhatIsFasterChanges_Follows()
    {
        Count(1_000, 200, 100);

        Assert.InRange(Count(4_000, 200, 300), 1, 1_000);
        Assert.InRange(Count(4_000, 200, 100), 2_000, 3_999);
    }

    [Fact]
    public void IsForThread_PausesOfTheGuest_AreNotTakenForSlowness()
    {
        int byThreads = Count(10_000, 200, 150, pauseMilliseconds: 50);

        Assert.InRange(byThreads, 8_000, 9_999);
    }

    [Fact]
    public void IsForThread_OneThatTakesLong_ChangesNothing()
    {
        Count(10_000, 200, 300);
        _now += 8 * Stopwatch.Frequency / 1_000;

        Assert.InRange(Count(1_000, 200, 300), 0, 100);
    }

    /// <summary>Requests that take a time which depends on who does them; a pause of the guest after each hundredth.</summary>
    /// <returns>How many threads did.</returns>
    private int Count(int requests, int vcpuMicroseconds, int threadMicroseconds, int pauseMilliseconds = 0)
    {
        int byThreads = 0;
        for (int i = 0; i < requests; i++)
        {
            int microseconds = _trial.IsForThread ? threadMicroseconds : vcpuMicroseconds;
            byThreads += _trial.IsForThread ? 1 : 0;
            _now += (microseconds + (i % 100 == 0 ? pauseMilliseconds * 1000L : 0)) * Stopwatch.Frequency / 1_000_000;
            _trial.OnDone(Mebibyte, _now);
        }

        return byThreads;
    }
}
