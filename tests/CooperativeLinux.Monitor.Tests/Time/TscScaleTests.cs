using CooperativeLinux.Monitor.Time;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Time;

public sealed class TscScaleTests
{
    [Theory]
    [InlineData(1_000_000UL, 0x8000_0000u, 1)]
    [InlineData(2_000_000UL, 0x8000_0000u, 0)]
    [InlineData(3_000_000UL, 0xaaaa_aaaau, -1)]
    [InlineData(2_596_122UL, 0xc5_38_00_00u, -1)]
    public void FromKilohertz_Rate_GivesMultiplierAndShift(ulong kilohertz, uint multiplier, int shift)
    {
        TscScale scale = TscScale.FromKilohertz(kilohertz);

        Assert.Equal(shift, scale.Shift);
        Assert.Equal(multiplier >> 20, scale.Multiplier >> 20);
    }

    [Theory]
    [InlineData(1UL)]
    [InlineData(999UL)]
    [InlineData(1_193_182UL)]
    [InlineData(1_999_999UL)]
    [InlineData(3_593_250UL)]
    [InlineData(6_000_000UL)]
    [InlineData(40_000_000UL)]
    public void ToNanoseconds_OneHour_IsExactToPartsPerBillion(ulong kilohertz)
    {
        TscScale scale = TscScale.FromKilohertz(kilohertz);

        ulong hour = scale.ToNanoseconds(kilohertz * 1000 * 3600);

        // Shifting and the kernel's integer arithmetic lose a little.
        Assert.InRange((double)hour, 3600e9 * (1 - 2e-9), 3600e9 * (1 + 2e-9));
        Assert.True(scale.Multiplier >= 0x8000_0000);
    }

    [Fact]
    public void FromKilohertz_Impossible_Throws()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => TscScale.FromKilohertz(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => TscScale.FromKilohertz(ulong.MaxValue));
    }

    [Fact]
    public void MeasureKilohertz_Stopwatch_FindsItsRate()
    {
        StopwatchCounter counter = new();

        ulong measured = CounterCalibration.MeasureKilohertz(counter.Read, TimeSpan.FromMilliseconds(5));

        Assert.InRange(measured, 999_000UL, 1_001_000UL);
    }

    [Fact]
    public void HostTimestampCounter_Reads_AdvanceAtTheMeasuredRate()
    {
        using HostTimestampCounter counter = new();
        System.Diagnostics.Stopwatch watch = System.Diagnostics.Stopwatch.StartNew();
        ulong before = counter.Read();
        Thread.Sleep(30);
        ulong after = counter.Read();
        watch.Stop();

        double nanoseconds = TscScale.FromKilohertz(counter.Kilohertz).ToNanoseconds(after - before);

        Assert.InRange(nanoseconds, 29e6, watch.Elapsed.TotalNanoseconds * 1.01);
    }
}
