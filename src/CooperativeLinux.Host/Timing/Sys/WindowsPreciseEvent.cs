using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Timing.Sys;

/// <summary>An event object together with a high-resolution waitable timer.</summary>
internal sealed unsafe partial class WindowsPreciseEvent : PreciseEvent
{
    private const uint TimerHighResolution = 2;
    private const uint TimerAllAccess = 0x1F_0003;
    private const uint InfiniteMilliseconds = 0xFFFF_FFFF;

    private readonly nint _event;
    private readonly nint _timer;
    private volatile bool _isDisposed;

    internal WindowsPreciseEvent()
    {
        _event = CreateEventW(0, 0, 0, 0);
        if (_event == 0)
        {
            throw HostCallException.FromLast("CreateEventW");
        }

        // Hosts before Windows 10 1803 know no high-resolution timers.
        _timer = CreateWaitableTimerExW(0, 0, TimerHighResolution, TimerAllAccess);
        if (_timer == 0)
        {
            _timer = CreateWaitableTimerExW(0, 0, 0, TimerAllAccess);
        }

        if (_timer == 0)
        {
            int error = Marshal.GetLastPInvokeError();
            _ = CloseHandle(_event);
            throw new HostCallException("CreateWaitableTimerExW", error);
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            _ = CloseHandle(_timer);
            _ = CloseHandle(_event);
        }
    }

    private protected override void Sleep(ref int state, int sleeping, long nanoseconds)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);

        // Negative: relative, in units of 100 ns; rounded up, a timer must not end early.
        long due = -((nanoseconds + 99) / 100);
        _ = SetWaitableTimer(_timer, &due, 0, 0, 0, 0);
        nint* handles = stackalloc nint[] { _event, _timer };
        _ = WaitForMultipleObjects(2, handles, 0, InfiniteMilliseconds);
    }

    private protected override void Wake()
    {
        if (!_isDisposed)
        {
            _ = SetEvent(_event);
        }
    }

    [LibraryImport("kernel32", SetLastError = true)]
    private static partial nint CreateEventW(nint attributes, int manualReset, int initialState, nint name);

    [LibraryImport("kernel32", SetLastError = true)]
    private static partial nint CreateWaitableTimerExW(nint attributes, nint name, uint flags, uint access);

    [LibraryImport("kernel32")]
    private static partial int SetWaitableTimer(nint timer, long* due, int period, nint completion, nint argument, int resume);

    [LibraryImport("kernel32")]
    private static partial uint WaitForMultipleObjects(uint count, nint* handles, int all, uint milliseconds);

    [LibraryImport("kernel32")]
    private static partial int SetEvent(nint handle);

    [LibraryImport("kernel32")]
    private static partial int CloseHandle(nint handle);
}
