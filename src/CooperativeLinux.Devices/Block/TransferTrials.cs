namespace CooperativeLinux.Devices.Block;

/// <summary>Who moves requests, the vCPU that asks or a thread, for each kind that a thread could move faster. Under the queue's lock.</summary>
internal sealed class TransferTrials
{
    /// <summary>Bytes beyond which copying costs more than waking a thread, so that it pays to do several such requests side by side.</summary>
    private const int Large = 128 << 10;

    /// <summary>Bytes of the largest small write.</summary>
    private const int Small = 16 << 10;

    private readonly ThreadTrial _largeReads = new(), _largeWrites = new(), _writes = new(), _smallWrites = new();

    /// <summary>Whether a request is for a thread.</summary>
    /// <param name="length">Bytes.</param>
    /// <param name="isWrite">Whether it is a write, or else a read.</param>
    public bool IsForThread(long length, bool isWrite) => Find(length, isWrite)?.IsForThread ?? false;

    /// <summary>A request was done.</summary>
    /// <param name="request">Any, parsed.</param>
    /// <param name="now">A <see cref="System.Diagnostics.Stopwatch"/> timestamp.</param>
    public void OnDone(BlockRequest request, long now)
    {
        if (request.Operation is BlockOperation.Read or BlockOperation.Write)
        {
            Find(request.Length, request.Operation == BlockOperation.Write)?.OnDone(request.Length, now);
        }
    }

    private ThreadTrial? Find(long length, bool isWrite) =>
        !isWrite ? length > Large ? _largeReads : null
        : length > Large ? _largeWrites
        : length > Small ? _writes : _smallWrites;
}
