namespace CooperativeLinux.Devices.Block;

/// <summary>
/// Finds out whether a guest has several large requests in flight, so that threads should do them while the guest goes on. As long as a
/// vCPU does each at once that cannot be seen: now and then one is left to a thread, to see whether another comes meanwhile. Under the
/// queue's lock.
/// </summary>
internal sealed class DepthWatch
{
    private const int RequestsBetweenTrials = 32;
    private const int RequestsRemembered = 8;

    private int _untilTrial;
    private int _remembered;

    /// <summary>Whether the next request is for a thread.</summary>
    public bool IsForThread()
    {
        if (_remembered > 0)
        {
            return true;
        }

        if (_untilTrial-- > 0)
        {
            return false;
        }

        _untilTrial = RequestsBetweenTrials;
        return true;
    }

    /// <summary>A thread has done a request.</summary>
    /// <param name="hasOthers">Whether there are others, in flight or waiting.</param>
    public void OnDone(bool hasOthers) => _remembered = hasOthers ? RequestsRemembered : Math.Max(0, _remembered - 1);
}
