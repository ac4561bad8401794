using CooperativeLinux.Devices.Control;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Control;

public sealed class MemoryPolicyTests
{
    private const long Mib = 1 << 20;
    private const long Most = 2048 * Mib, Least = 256 * Mib;

    private readonly MemoryPolicy _policy = new(Least, Most);

    [Fact]
    public void OnReport_MuchMoreResidentThanNeeded_SqueezesToTheNeedWithAReserve()
    {
        Assert.Null(Report(availableMib: 1500, residentMib: 1900, second: 0));

        // 2048 - 1500 used, and a sixteenth of all.
        Assert.Equal((548 + 128) * Mib, Report(availableMib: 1500, residentMib: 1900, second: 5));
        Assert.True(_policy.IsSqueezing);
    }

    [Theory]
    [InlineData(1500, 800)]
    [InlineData(300, 2000)]
    public void OnReport_NothingToGain_LeavesTheGuestAlone(long availableMib, long residentMib)
    {
        Report(availableMib, residentMib, second: 0);

        Assert.Null(Report(availableMib, residentMib, second: 5));
    }

    [Fact]
    public void OnReport_NeedThatChanges_WaitsForASteadyOne()
    {
        Report(availableMib: 1500, residentMib: 1900, second: 0);

        Assert.Null(Report(availableMib: 1000, residentMib: 1900, second: 5));
        Assert.NotNull(Report(availableMib: 1010, residentMib: 1900, second: 10));
    }

    [Fact]
    public void OnReport_SmallNeed_KeepsTheLeast()
    {
        MemoryPolicy policy = new(1024 * Mib, Most);
        policy.OnReport(new MemoryReport(2000 * 1024, 1990 * 1024), Most, 2000 * Mib, TimeSpan.Zero);

        Assert.Equal(1024 * Mib, policy.OnReport(new MemoryReport(2000 * 1024, 1990 * 1024), Most, 2000 * Mib, TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void IsSqueezeOver_TargetReached_IsOverAndRestsBeforeTheNext()
    {
        Report(availableMib: 1500, residentMib: 1900, second: 0);
        long target = Report(availableMib: 1500, residentMib: 1900, second: 1)!.Value;

        Assert.False(_policy.IsSqueezeOver(target + Mib, TimeSpan.FromSeconds(2)));
        Assert.True(_policy.IsSqueezeOver(target, TimeSpan.FromSeconds(3)));
        Assert.Null(Report(availableMib: 1500, residentMib: 1900, second: 20));
        Assert.NotNull(Report(availableMib: 1500, residentMib: 1900, second: 40));
    }

    [Fact]
    public void IsSqueezeOver_NoProgress_IsOver()
    {
        Report(availableMib: 1500, residentMib: 1900, second: 0);
        Report(availableMib: 1500, residentMib: 1900, second: 1);

        Assert.False(_policy.IsSqueezeOver(Most - Mib, TimeSpan.FromSeconds(1.5)));
        Assert.False(_policy.IsSqueezeOver(Most - (2 * Mib), TimeSpan.FromSeconds(3)));
        Assert.True(_policy.IsSqueezeOver(Most - (2 * Mib), TimeSpan.FromSeconds(5.1)));
    }

    [Theory]
    [InlineData("1000 500", true)]
    [InlineData(" 1000  0 ", true)]
    [InlineData("", false)]
    [InlineData("1000", false)]
    [InlineData("500 1000", false)]
    [InlineData("-5 -6", false)]
    [InlineData("9223372036854775807 1", false)]
    [InlineData("1000 500 7", false)]
    public void TryParse_Text_IsCheckedBeforeItIsBelieved(string text, bool isReport)
    {
        Assert.Equal(isReport, MemoryReport.TryParse(text, out _));
    }

    private long? Report(long availableMib, long residentMib, double second) =>
        _policy.OnReport(new MemoryReport(2000 * 1024, availableMib * 1024), Most, residentMib * Mib, TimeSpan.FromSeconds(second));
}
