namespace CooperativeLinux;

/// <summary>
/// Gives memory that .NET holds without need back to the host while the guest rests. Translating a boot leaves much garbage behind, and a
/// collector that nobody asks for anything has no reason to look for it.
/// </summary>
internal sealed class IdleMemoryTrimmer : IDisposable
{
    private static readonly TimeSpan _interval = TimeSpan.FromSeconds(5);

    /// <summary>Share of one processor below which the process counts as resting.</summary>
    private const double RestingShare = 0.1;

    /// <summary>Bytes that must have been allocated since the last time: less is not worth the pause, some tenths of a second.</summary>
    private const long WorthwhileBytes = 32 << 20;

    private readonly Timer _timer;
    private TimeSpan _used = Environment.CpuUsage.TotalTime;
    private long _allocated = GC.GetTotalAllocatedBytes();

    public IdleMemoryTrimmer() => _timer = new Timer(_ => Look(), state: null, _interval, _interval);

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        TimeSpan used = Environment.CpuUsage.TotalTime;
        bool isResting = used - _used < _interval * RestingShare;
        _used = used;
        if (isResting && GC.GetTotalAllocatedBytes() - _allocated > WorthwhileBytes)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            _allocated = GC.GetTotalAllocatedBytes();
        }
    }
}
