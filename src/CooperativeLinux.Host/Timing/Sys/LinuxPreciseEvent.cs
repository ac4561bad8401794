using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Timing.Sys;

/// <summary>A futex: one system call to sleep and one to wake; with the thread's timer slack at its least.</summary>
internal sealed unsafe partial class LinuxPreciseEvent : PreciseEvent
{
    private const int SysFutex = 202; // x86-64
    private const int FutexWaitPrivate = 128, FutexWakePrivate = 129;
    private const int PrSetTimerSlack = 29;

    // 1 from a wake to the sleep that it ends. The collector does not move it while the kernel looks at it, and frees it after the last
    // thread that may wake.
    private readonly int[] _words = GC.AllocateArray<int>(1, pinned: true);
    private readonly int* _word;
    private int _preparedThread;
    private volatile bool _isDisposed;

    internal LinuxPreciseEvent() => _word = (int*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_words));

    /// <inheritdoc/>
    public override void Dispose() => _isDisposed = true;

    private protected override void Sleep(ref int state, int sleeping, long nanoseconds)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);

        // By default the kernel may end a sleep 50 us late; the setting is per thread.
        if (_preparedThread != Environment.CurrentManagedThreadId)
        {
            _ = prctl(PrSetTimerSlack, 1, 0, 0, 0);
            _preparedThread = Environment.CurrentManagedThreadId;
        }

        TimeSpec time = new() { Seconds = nanoseconds / 1_000_000_000, Nanoseconds = nanoseconds % 1_000_000_000 };
        _ = syscall(SysFutex, _word, FutexWaitPrivate, 0, &time, null, 0);
        Volatile.Write(ref _words[0], 0);
    }

    private protected override void Wake()
    {
        Volatile.Write(ref _words[0], 1);
        _ = syscall(SysFutex, _word, FutexWakePrivate, 1, null, null, 0);
        GC.KeepAlive(_words);
    }

    [LibraryImport("libc")]
    private static partial nint syscall(nint number, int* word, nint operation, nint value, TimeSpec* timeout, int* other, nint mask);

    [LibraryImport("libc")]
    private static partial int prctl(int option, nuint a, nuint b, nuint c, nuint d);

    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
