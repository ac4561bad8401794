using System.Diagnostics;
using CooperativeLinux.Host.Clocks;
using CooperativeLinux.Host.Processor;
using Xunit;

namespace CooperativeLinux.Host.Tests.Clocks;

public sealed class ClockTests
{
    [Fact]
    public void Kilohertz_AgainstStopwatch_AgreesWithinOnePercent()
    {
        using TscClock clock = new();
        ulong ticks = clock.ReadTsc();
        long start = Stopwatch.GetTimestamp();
        Thread.Sleep(50);

        double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        double elapsed = clock.ReadTsc() - ticks;

        Assert.InRange(elapsed / milliseconds / clock.Kilohertz, 0.99, 1.01);
    }

    [Fact]
    public void Recalibrate_AfterSomeTime_IsNearTheFrequency()
    {
        using TscClock clock = new();
        Thread.Sleep(50);

        double refined = clock.Recalibrate();

        Assert.InRange(refined / clock.Kilohertz, 0.99, 1.01);
    }

    [Fact]
    public void ReadTsc_Twice_Increases()
    {
        using TscClock clock = new();

        ulong first = clock.ReadTsc();

        Assert.True(clock.ReadTsc() > first);
    }

    [Fact]
    public void FromCpuid_CrystalGiven_MultipliesIt()
    {
        Func<uint, CpuidRegisters> cpuid = leaf => leaf == 0x15 ? new CpuidRegisters(2, 188, 24_000_000, 0) : default;

        Assert.Equal((2_256_000UL, TscFrequencySource.Cpuid), TscClock.FromCpuid(cpuid));
    }

    [Fact]
    public void FromCpuid_NoCrystal_TakesBaseFrequency()
    {
        Func<uint, CpuidRegisters> cpuid = leaf => leaf switch
        {
            0x15 => new CpuidRegisters(2, 188, 0, 0),
            0x16 => new CpuidRegisters(2300, 3000, 100, 0),
            _ => default,
        };

        Assert.Equal((2_300_000UL, TscFrequencySource.Cpuid), TscClock.FromCpuid(cpuid));
    }

    [Fact]
    public void FromCpuid_HypervisorSays_TakesIt()
    {
        Func<uint, CpuidRegisters> cpuid = leaf => leaf switch
        {
            1 => new CpuidRegisters(0, 0, 1u << 31, 0),
            0x4000_0000 => new CpuidRegisters(0x4000_0010, 0, 0, 0),
            0x4000_0010 => new CpuidRegisters(2_699_998, 0, 0, 0),
            _ => default,
        };

        Assert.Equal((2_699_998UL, TscFrequencySource.Hypervisor), TscClock.FromCpuid(cpuid));
    }

    [Fact]
    public void FromCpuid_HypervisorLeafWithoutHypervisor_IsIgnored()
    {
        Func<uint, CpuidRegisters> cpuid = leaf => leaf >= 0x4000_0000 ? new CpuidRegisters(0x4000_0010, 0, 0, 0) : default;

        Assert.Null(TscClock.FromCpuid(cpuid));
    }

    [Fact]
    public void ToNanoseconds_LongUptime_DoesNotOverflow()
    {
        long decade = 10L * 365 * 86400;

        Assert.Equal(decade * 1_000_000_000, HostClock.ToNanoseconds(decade * Stopwatch.Frequency));
    }

    [Fact]
    public void MonotonicNanoseconds_OverASleep_Advances()
    {
        long start = HostClock.MonotonicNanoseconds;
        Thread.Sleep(20);

        Assert.InRange(HostClock.MonotonicNanoseconds - start, 15_000_000, 10_000_000_000);
    }

    [Fact]
    public void UtcNanoseconds_Now_IsTheFrameworksTime()
    {
        long seconds = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

        Assert.InRange(HostClock.UtcNanoseconds / 1_000_000_000, seconds, seconds + 5);
    }
}
