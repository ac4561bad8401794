using CooperativeLinux.Monitor.Store;
using CooperativeLinux.Monitor.Time;

namespace CooperativeLinux.Devices.Control;

/// <summary>
/// Finds out that the host slept, or that its clock was set forward: the time of day has gone on and the guest's clock has not.
/// The guest is then sent to sleep and woken at once, whereby it sets its clock (docs/control.md).
/// </summary>
public sealed class HostSleepWatch : IDisposable
{
    /// <summary>A jump from which on the guest's clock is set. Smaller differences are what time services are for.</summary>
    public static readonly TimeSpan Threshold = TimeSpan.FromSeconds(1);

    /// <summary>Between two looks.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    // A look that took longer compares times of different moments.
    private static readonly TimeSpan MaxLook = TimeSpan.FromMilliseconds(100);

    private readonly PvClock _clock;
    private readonly DomainControl _control;
    private readonly TimeProvider _wallClock;
    private readonly Timer _timer;
    private readonly TimeSpan _interval;
    private TimeSpan? _last;
    private long _lastNow;
    private bool _isSettingDue;

    /// <param name="clock">The guest's clock.</param>
    /// <param name="control">Asks the guest.</param>
    /// <param name="wallClock">The host's time of day.</param>
    /// <param name="interval">Between two looks; <see cref="Interval"/> if null.</param>
    public HostSleepWatch(PvClock clock, DomainControl control, TimeProvider wallClock, TimeSpan? interval = null)
    {
        _clock = clock;
        _control = control;
        _wallClock = wallClock;
        _last = Look();
        _interval = interval ?? Interval;
        _timer = new Timer(_ => Check());
        _timer.Change(_interval, Timeout.InfiniteTimeSpan);
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    /// <summary>How far the time of day is ahead of the guest's; null if that cannot be told just now.</summary>
    private TimeSpan? Look()
    {
        long before = _clock.NowNs;
        TimeSpan wall = _wallClock.GetUtcNow() - DateTimeOffset.UnixEpoch;
        long took = _clock.NowNs - before;
        return took * 1e-9 < MaxLook.TotalSeconds ? wall - TimeSpan.FromTicks(before / 100) : null;
    }

    private void Check()
    {
        long guestNow = _clock.NowNs;
        if (guestNow < _lastNow)
        {
            // The counter began anew while the host slept.
            _clock.ContinueFrom(_lastNow);
        }

        _lastNow = Math.Max(_lastNow, guestNow);
        if (Look() is TimeSpan now)
        {
            _isSettingDue |= now - _last >= Threshold;
            _last = now;
        }

        // A guest that is still starting reads the clock itself.
        if (_isSettingDue && _control.IsShutdownSupported && !_control.IsShutdownPending)
        {
            _isSettingDue = false;
            _control.RequestShutdown(ShutdownRequest.Suspend);
        }

        try
        {
            _timer.Change(_interval, Timeout.InfiniteTimeSpan);
        }
        catch (ObjectDisposedException)
        {
            // The machine has ended.
        }
    }
}
