using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>The guest's time against the host's, and what an idle guest costs.</summary>
public sealed partial class ClockTests
{
    /// <summary>The guest's shell prints the time in seconds only; this tells microseconds too.</summary>
    private const string PrintTime = "$(adjtimex | grep tv_)";

    [Fact]
    public void Clocks_TenSeconds_AreTenSecondsOutside()
    {
        // A marker arrives late on a busy host, never early. The delay of the first hides in a short interval, so
        // several are measured and the best pair counts: no drift can make all of them right.
        long started = Stopwatch.GetTimestamp();
        using Colinux colinux = Colinux.Start(
            "run", "-k", "6.1-cloud", "-m", "256M", "-a",
            $"colinux.script=\"for i in 0 1 2 3 4 5 6 7 8 9 10 11 12; do read up idle < /proc/uptime; echo mark $i $up {PrintTime} .; sleep 1; done\"");
        List<(double Up, double Date, double Host)> marks = [];
        int position = 0;
        long first = 0;
        for (int i = 0; i <= 12; i++)
        {
            (position, _) = colinux.WaitFor($"mark {i} ", position);
            (int end, long timestamp) = colinux.WaitFor(" .\n", position - 1);
            first = i == 0 ? timestamp : first;
            Match match = Numbers().Match(colinux.Output[position..end]);
            marks.Add((Number(match.Groups[1].Value), Time(match, 2), Stopwatch.GetElapsedTime(first, timestamp).TotalSeconds));
            if (i == 0)
            {
                // Until it has chosen its clock, a kernel counts ticks, and loses those that a busy host does not let it see.
                double boot = Stopwatch.GetElapsedTime(started, timestamp).TotalSeconds;
                double host = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() / 1000.0;
                Assert.InRange(host - Stopwatch.GetElapsedTime(timestamp).TotalSeconds - marks[0].Date, -0.05, 1 + boot);
            }
        }

        double[] errors =
        [
            .. from a in marks
               from b in marks
               where b.Host - a.Host >= 9.5
               let scale = 10 / (b.Host - a.Host)
               select ((b.Up - a.Up) - (b.Host - a.Host)) * scale,
        ];
        double[] dateErrors =
        [
            .. from a in marks
               from b in marks
               where b.Host - a.Host >= 9.5
               let scale = 10 / (b.Host - a.Host)
               select ((b.Date - a.Date) - (b.Host - a.Host)) * scale,
        ];
        Assert.NotEmpty(errors);
        Assert.InRange(errors.MinBy(Math.Abs), -0.1, 0.1);
        Assert.InRange(dateErrors.MinBy(Math.Abs), -0.1, 0.1);
        Assert.Equal(0, colinux.WaitForExit());
    }

    [Fact]
    public void Sleep_TenSeconds_EndsInTime()
    {
        // The guest's own clocks measure its timers, so that the host's load shows only in the wake-up.
        using Colinux colinux = Colinux.Start(
            "run", "-k", "6.1-cloud", "-m", "256M", "-a",
            $"colinux.script=\"a={PrintTime}; sleep 10; b={PrintTime}; echo slept $a $b .\"");

        (int start, _) = colinux.WaitFor("slept ");
        (int end, _) = colinux.WaitFor(" .", start);
        MatchCollection times = Times().Matches(colinux.Output[start..end]);
        Assert.Equal(2, times.Count);

        Assert.InRange(Time(times[1], 1) - Time(times[0], 1), 10, 12);
        Assert.Equal(0, colinux.WaitForExit());
    }

    [Fact]
    public void Prompt_Waiting_UsesNoProcessor()
    {
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M");
        colinux.WaitFor(Colinux.Prompt);

        // Background work of the boot (random pool, deferred initialisation) comes to its end first, and .NET gives back once what it left.
        Thread.Sleep(15_000);
        TimeSpan before = colinux.ProcessorTime;
        long start = Stopwatch.GetTimestamp();
        Thread.Sleep(10_000);
        double share = (colinux.ProcessorTime - before) / Stopwatch.GetElapsedTime(start);
        TestContext.Current.SendDiagnosticMessage($"idle guest: {share:P2} of a CPU");

        Assert.InRange(share, 0, 0.01);
    }

    private static double Time(Match match, int group) => Number(match.Groups[group].Value) + (Number(match.Groups[group + 1].Value) / 1e6);

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^(\d+\.\d+) time\.tv_sec: (\d+) time\.tv_usec: (\d+) ")]
    private static partial Regex Numbers();

    [GeneratedRegex(@"time\.tv_sec: +(\d+)\s+time\.tv_usec: +(\d+)")]
    private static partial Regex Times();
}
