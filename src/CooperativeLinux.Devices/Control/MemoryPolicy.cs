namespace CooperativeLinux.Devices.Control;

/// <summary>
/// Decides when a guest gives memory back. The guest can always use all its memory; but when it holds much more of the
/// host's memory than it needs, its balloon is inflated to what it needs with a reserve, and let go again. What the balloon
/// took has then gone back to the host, and comes again, page by page, where the guest touches it. Not thread-safe.
/// </summary>
public sealed class MemoryPolicy
{
    /// <summary>Between two squeezes: giving back and touching again both cost time.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);

    /// <summary>A squeeze that makes no progress for so long is over: the guest has no more to give.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>No squeeze takes longer.</summary>
    public static readonly TimeSpan MaxDuration = TimeSpan.FromSeconds(15);

    private const long LeastReserve = 64 << 20;

    private readonly long _least;
    private readonly long _reserve;
    private TimeSpan _notBefore;
    private long _lastNeed;
    private long _target;
    private long _lastPresent;
    private TimeSpan _begin;
    private TimeSpan _lastProgress;

    /// <param name="least">Bytes the guest keeps in any case.</param>
    /// <param name="most">Bytes the guest has.</param>
    public MemoryPolicy(long least, long most)
    {
        _least = least;
        _reserve = Math.Max(LeastReserve, most / 16);
    }

    /// <summary>Whether the balloon is being inflated.</summary>
    public bool IsSqueezing => _target != 0;

    /// <summary>Takes a report of the guest.</summary>
    /// <param name="report">The report.</param>
    /// <param name="present">Bytes of memory the guest has, balloon excluded.</param>
    /// <param name="resident">Bytes of the host's memory it takes.</param>
    /// <param name="now">A monotonic time.</param>
    /// <returns>The target in bytes if the balloon is to be inflated now, else null.</returns>
    public long? OnReport(MemoryReport report, long present, long resident, TimeSpan now)
    {
        long available = report.AvailableKiB << 10;
        if (IsSqueezing || available > present)
        {
            return null;
        }

        // Two reports that agree: a guest that is just taking or freeing memory is left alone.
        long need = Math.Max(_least, present - available + _reserve);
        bool isSteady = Math.Abs(need - _lastNeed) <= _reserve / 2;
        _lastNeed = need;
        if (!isSteady || now < _notBefore || need >= present || resident <= need + _reserve)
        {
            return null;
        }

        _target = need;
        _lastPresent = present;
        _begin = now;
        _lastProgress = now;
        return need;
    }

    /// <summary>Whether a squeeze is over: done, without progress, or too long.</summary>
    /// <param name="present">Bytes of memory the guest has, balloon excluded.</param>
    /// <param name="now">A monotonic time.</param>
    public bool IsSqueezeOver(long present, TimeSpan now)
    {
        if (present < _lastPresent)
        {
            _lastPresent = present;
            _lastProgress = now;
        }

        if (present > _target && now - _lastProgress < Patience && now - _begin < MaxDuration)
        {
            return false;
        }

        _target = 0;
        _notBefore = now + Interval;
        return true;
    }
}
