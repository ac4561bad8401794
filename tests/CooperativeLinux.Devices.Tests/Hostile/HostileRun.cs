using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Hostile;

/// <summary>
/// Lets one hostile guest after the other do anything, for some time. Each has a seed of its own, which is printed and is in every failure:
/// COLINUX_TEST_SEED begins with that one. COLINUX_TEST_SCALE of 2 or more makes it minutes, COLINUX_HOSTILE_SECONDS sets the time.
/// </summary>
internal static class HostileRun
{
    private const double Seconds = 3, ThoroughSeconds = 120;

    // Until the guests have done at least this much, time does not count: the machine may be busy.
    private const int LeastRounds = 10;

    /// <param name="output">Told the seed first, and the numbers in the end.</param>
    /// <param name="round">One guest; returns how often its device failed.</param>
    /// <returns>Guests, and failures of devices.</returns>
    public static (int Rounds, int Failures) Repeat(ITestOutputHelper? output, Func<Random, int> round)
    {
        int first = (int)(Read("COLINUX_TEST_SEED") ?? Environment.TickCount & 0xffffff);
        double seconds = Read("COLINUX_HOSTILE_SECONDS") ?? (Read("COLINUX_TEST_SCALE") >= 2 ? ThoroughSeconds : Seconds);
        output?.WriteLine($"first seed {first}");
        long start = Stopwatch.GetTimestamp();
        int rounds = 0;
        int failures = 0;
        while (rounds < LeastRounds || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            int seed = first + rounds;
            try
            {
                failures += round(new Random(seed));
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed}: {exception}");
            }

            rounds++;
        }

        output?.WriteLine($"{rounds} guests, {failures} failures of devices");
        return (rounds, failures);
    }

    /// <summary>The same for a device that must fail now and then, and for most guests once.</summary>
    public static void RepeatFailing(ITestOutputHelper? output, Func<Random, int> round)
    {
        (int rounds, int failures) = Repeat(output, round);
        Assert.True(failures > 0 && failures < rounds * 2, $"{failures} failures of {rounds} guests");
    }

    private static double? Read(string variable) =>
        double.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out double value) ? value : null;
}
