using CooperativeLinux.Devices.Control;
using CooperativeLinux.Devices.Tests.Hostile;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Control;

/// <summary>A guest that reports anything about its memory; see <see cref="HostileRun"/>.</summary>
public sealed class HostileReportTests(ITestOutputHelper output)
{
    private const long Least = 128 << 20, Most = 1L << 30;

    [Fact]
    public void Guest_ReportsAnything_TargetIsNeverBelowTheLeastNorAboveWhatItHas()
    {
        int squeezes = 0;
        HostileRun.Repeat(output, random =>
        {
            MemoryPolicy policy = new(Least, Most);
            TimeSpan now = TimeSpan.FromHours(1);
            for (int i = 0; i < 200; i++)
            {
                now += TimeSpan.FromSeconds(random.Next(20));
                long present = random.NextInt64(Least, Most);
                if (MemoryReport.TryParse(Report(random, present), out MemoryReport report)
                    && policy.OnReport(report, present, random.NextInt64(Most), now) is long target)
                {
                    squeezes++;
                    Assert.InRange(target, Least, present);
                }

                _ = policy.IsSqueezing && policy.IsSqueezeOver(random.NextInt64(Most), now);
            }

            return 0;
        });
        Assert.True(squeezes > 0, "no report was believed");
    }

    private static string? Report(Random random, long present) => random.Next(10) switch
    {
        0 => null,
        1 => $"{random.NextInt64()} {random.NextInt64()}",
        2 => $"{long.MaxValue} {long.MaxValue >> random.Next(20)}",
        3 => $"-1 {random.Next()}",
        4 => new string('7', random.Next(3000)),
        5 => $"{random.Next()} {random.Next()} {random.Next()}",
        6 => "\0 é",
        _ => $"{present >> 10} {(present >> 11) + random.Next(100)}",
    };
}
