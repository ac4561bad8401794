using System.Diagnostics;
using System.Runtime.InteropServices;

namespace CooperativeLinux.Bench.Micro;

/// <summary>The processor time of the calling thread, which other programs on the machine disturb less than the clock.</summary>
internal static unsafe partial class ThreadTime
{
    private const int ThreadCpuClock = 3; // CLOCK_THREAD_CPUTIME_ID of Linux

    /// <summary>Since any fixed moment. On Windows, whose thread times are too coarse, the clock's time.</summary>
    public static double Nanoseconds
    {
        get
        {
            if (!OperatingSystem.IsLinux())
            {
                return Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency);
            }

            Timespec time;
            return clock_gettime(ThreadCpuClock, &time) == 0
                ? (time.Seconds * 1e9) + time.Nanoseconds
                : throw new InvalidOperationException($"clock_gettime failed with error {Marshal.GetLastPInvokeError()}.");
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int clock_gettime(int clock, Timespec* time);

    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
