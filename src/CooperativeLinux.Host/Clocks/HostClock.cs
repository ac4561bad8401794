using System.Diagnostics;

namespace CooperativeLinux.Host.Clocks;

/// <summary>The host's clocks in nanoseconds.</summary>
public static class HostClock
{
    private const long NanosecondsPerSecond = 1_000_000_000;
    private const int NanosecondsPerTick = 100;

    /// <summary>Nanoseconds of the monotonic clock, from an arbitrary start.</summary>
    public static long MonotonicNanoseconds => ToNanoseconds(Stopwatch.GetTimestamp());

    /// <summary>Nanoseconds since 1970-01-01 00:00 UTC, without leap seconds. In steps of 100.</summary>
    public static long UtcNanoseconds => (DateTime.UtcNow - DateTime.UnixEpoch).Ticks * NanosecondsPerTick;

    /// <summary>Converts a time stamp, or a difference of two, of <see cref="Stopwatch"/>.</summary>
    internal static long ToNanoseconds(long timestamp)
    {
        // Seconds apart, because the product of a long uptime and 10^9 does not fit.
        (long seconds, long rest) = Math.DivRem(timestamp, Stopwatch.Frequency);
        return (seconds * NanosecondsPerSecond) + (rest * NanosecondsPerSecond / Stopwatch.Frequency);
    }
}
