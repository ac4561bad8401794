using System.Diagnostics;
using CooperativeLinux.Host.Sys;

namespace CooperativeLinux.Host.Timing;

/// <summary>
/// An auto-reset event with one waiter and time-outs in nanoseconds; the framework's own events round to milliseconds.
/// Setting it costs no system call while nobody waits.
/// </summary>
public abstract class PreciseEvent : IDisposable
{
    /// <summary>Time-out that never ends.</summary>
    public const long Infinite = long.MaxValue;

    // Longest single sleep; waiting loops over it, so that no host limit on time-outs matters.
    private const long LongestSleep = 1_000_000_000L * 3600;

    private const int Unset = 0, IsSetState = 1, Sleeping = -1;

    private int _state;

    /// <summary>Makes an event for the host at hand.</summary>
    /// <exception cref="PlatformNotSupportedException">Neither Linux nor Windows.</exception>
    /// <exception cref="HostCallException">The host gives no more handles.</exception>
    public static PreciseEvent Create() => HostPlatform.Create().CreatePreciseEvent();

    /// <summary>Sets the event: the current or next <see cref="Wait"/> returns true. Any thread.</summary>
    public void Set()
    {
        if (Interlocked.Exchange(ref _state, IsSetState) == Sleeping)
        {
            Wake();
        }
    }

    /// <summary>Waits until the event is set, and resets it. One thread at a time.</summary>
    /// <param name="nanoseconds">Longest wait; 0 or less: only looks; <see cref="Infinite"/>: no limit.</param>
    /// <returns>Whether it was set.</returns>
    public bool Wait(long nanoseconds)
    {
        long start = Stopwatch.GetTimestamp();
        long remaining = nanoseconds;
        while (true)
        {
            if (Interlocked.CompareExchange(ref _state, Unset, IsSetState) == IsSetState)
            {
                return true;
            }

            if (remaining <= 0)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _state, Sleeping, Unset) == Unset)
            {
                Sleep(ref _state, Sleeping, Math.Min(remaining, LongestSleep));
                if (Interlocked.Exchange(ref _state, Unset) == IsSetState)
                {
                    return true;
                }
            }

            if (nanoseconds != Infinite)
            {
                remaining = nanoseconds - (long)Stopwatch.GetElapsedTime(start).TotalNanoseconds;
            }
        }
    }

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>Sleeps while <paramref name="state"/> is <paramref name="sleeping"/>, until <see cref="Wake"/> or the time is over.
    /// May return early without cause.</summary>
    private protected abstract void Sleep(ref int state, int sleeping, long nanoseconds);

    /// <summary>Ends the sleep of the thread in <see cref="Sleep"/>, or the next one if it has not begun.</summary>
    private protected abstract void Wake();
}
