using System.Diagnostics;

namespace CooperativeLinux.Monitor.Time;

/// <summary>The time stamp counter as the guest's rdtsc reads it. Must be the same counter on all vCPUs, at a constant rate.</summary>
public interface ITimestampCounter
{
    /// <summary>Ticks per millisecond.</summary>
    ulong Kilohertz { get; }

    /// <summary>Current ticks.</summary>
    ulong Read();
}

/// <summary>A counter made from the host's monotonic clock, at 1 GHz: for hosts without an invariant time stamp counter, where
/// the guest's rdtsc is emulated, and for tests.</summary>
public sealed class StopwatchCounter : ITimestampCounter
{
    /// <inheritdoc/>
    public ulong Kilohertz => 1_000_000;

    /// <inheritdoc/>
    public ulong Read()
    {
        UInt128 ticks = (UInt128)(ulong)Stopwatch.GetTimestamp() * 1_000_000_000;
        return (ulong)(ticks / (ulong)Stopwatch.Frequency);
    }
}

/// <summary>Finds out how fast a counter runs.</summary>
public static class CounterCalibration
{
    private const int Tries = 16;

    /// <summary>Measures against the host's monotonic clock. The error is about 0.1 us over the duration.</summary>
    /// <param name="read">Reads the counter.</param>
    /// <param name="duration">How long to measure; sleeps that long.</param>
    /// <returns>Ticks per millisecond.</returns>
    public static ulong MeasureKilohertz(Func<ulong> read, TimeSpan duration)
    {
        (long startTime, ulong startTicks) = Sample(read);
        Thread.Sleep(duration);
        (long endTime, ulong endTicks) = Sample(read);
        UInt128 scaled = (UInt128)(endTicks - startTicks) * (ulong)Stopwatch.Frequency;
        UInt128 divisor = (UInt128)(ulong)(endTime - startTime) * 1000;
        return (ulong)((scaled + (divisor / 2)) / divisor);
    }

    /// <summary>The pair of readings taken closest together, out of some tries.</summary>
    private static (long Time, ulong Ticks) Sample(Func<ulong> read)
    {
        (long Time, ulong Ticks) best = default;
        long bestGap = long.MaxValue;
        for (int i = 0; i < Tries; i++)
        {
            long before = Stopwatch.GetTimestamp();
            ulong ticks = read();
            long gap = Stopwatch.GetTimestamp() - before;
            if (gap < bestGap)
            {
                bestGap = gap;
                best = (before + (gap / 2), ticks);
            }
        }

        return best;
    }
}
