using System.Diagnostics;
using System.Numerics;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Host.Timing;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Block;

using Monitor = System.Threading.Monitor;

/// <summary>
/// Carries out the requests of one ring. What needs waiting for the host is done by a few threads, so that several requests are in flight
/// and no vCPU waits; reads of what the host has in memory, and writes while nothing else is in flight, are done at once by the vCPU that
/// asks, which is less work than waking a thread; large ones only as long as that is not slower. The ring is used under a lock that nobody
/// holds while waiting.
/// </summary>
internal sealed class BlockQueue : IDisposable
{
    private const int ThreadStackSize = 256 << 10;

    /// <summary>Bytes beyond which copying costs more than waking a thread, so that it pays to do several such requests side by side.</summary>
    private const int Large = 128 << 10;

    /// <summary>Bytes after which a vCPU takes no further request for one notification.</summary>
    private const int MaxForOneNotification = 2 * Large;

    // A write that took longer was not only copied: the host limits what is not yet on its storage. Then threads write for so many times
    // as long, so that a vCPU waits for at most a small part of the time.
    private const double SlowSeconds = 0.001, SlowSecondsPerByte = 0.003 / (1 << 20);
    private const int SlowFactor = 20;

    private readonly Disk _disk;
    private readonly GrantTable _grants;
    private readonly SharedRing _ring;
    private readonly ILogger _logger;
    private readonly string _name;
    private readonly Action<string> _onBroken;
    private readonly Thread[] _threads;
    private readonly PreciseEvent[] _events;
    private readonly object _gate = new();
    private readonly LargeTransfers _large = new();

    // Requests that a vCPU took and could not do, and objects for further ones.
    private readonly Queue<BlockRequest> _handedOver = [];
    private readonly Stack<BlockRequest> _spare = [];
    private volatile HostChannel? _channel;
    private ulong _idle;
    private bool _hasBarrier;
    private bool _isReportedBroken;
    private int _hasReportedDefect;
    private int _hasReportedFailure;
    private long _threadsWriteUntil;
    private volatile bool _isStopping;

    /// <param name="disk">Where the data are.</param>
    /// <param name="grants">The guest's grants.</param>
    /// <param name="ring">The ring.</param>
    /// <param name="threadCount">Requests carried out at the same time; at most 64.</param>
    /// <param name="name">For messages.</param>
    /// <param name="logger">Told once about the first defect of the guest and the first failure of the host.</param>
    /// <param name="onBroken">Called once with the reason when the ring cannot be served any more; on any thread.</param>
    public BlockQueue(Disk disk, GrantTable grants, SharedRing ring, int threadCount, string name, ILogger logger, Action<string> onBroken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(threadCount, 64);
        _disk = disk;
        _grants = grants;
        _ring = ring;
        _name = name;
        _logger = logger;
        _onBroken = onBroken;
        _threads = new Thread[threadCount];
        _events = new PreciseEvent[threadCount];
        for (int i = 0; i < threadCount; i++)
        {
            _events[i] = PreciseEvent.Create();
        }
    }

    /// <summary>Starts serving.</summary>
    /// <param name="channel">Tells the guest about answers. Its notifications go to <see cref="Notify"/>.</param>
    public void Start(HostChannel channel)
    {
        _channel = channel;
        for (int i = 0; i < _threads.Length; i++)
        {
            int number = i;
            _threads[i] = new Thread(() => Serve(number), ThreadStackSize) { IsBackground = true, Name = $"{_name} {i}" };
            _threads[i].Start();
        }
    }

    /// <summary>There may be requests. Any thread; does not wait.</summary>
    public void Notify()
    {
        if (!TryServeAtOnce())
        {
            WakeThread();
        }
    }

    /// <summary>Ends after the requests in flight. The guest gets no answer to the others.</summary>
    public void Dispose()
    {
        if (_isStopping)
        {
            return;
        }

        // No notifications from here on.
        _channel?.Dispose();
        lock (_gate)
        {
            _isStopping = true;
            Monitor.PulseAll(_gate);
        }

        foreach (PreciseEvent wake in _events)
        {
            wake.Set();
        }

        foreach (Thread? thread in _threads)
        {
            thread?.Join();
        }

        // A late notification may still set one; with nobody waiting that does not touch the host's object.
        foreach (PreciseEvent wake in _events)
        {
            wake.Dispose();
        }
    }

    private void WakeThread()
    {
        ulong idle = Volatile.Read(ref _idle);
        while (idle != 0)
        {
            ulong seen = Interlocked.CompareExchange(ref _idle, idle & (idle - 1), idle);
            if (seen == idle)
            {
                _events[BitOperations.TrailingZeroCount(idle)].Set();
                return;
            }

            idle = seen;
        }

        // All are busy, and look at the ring before they wait.
    }

    private void Serve(int number)
    {
        BlockRequest request = new(_grants);
        while (!_isStopping)
        {
            if (TryTake(ref request, 1UL << number))
            {
                Finish(request, Execute(request, isParsed: false));
            }
            else
            {
                _events[number].Wait(PreciseEvent.Infinite);
            }
        }
    }

    /// <summary>Takes a request, or says that this thread waits for one.</summary>
    private bool TryTake(ref BlockRequest request, ulong thread)
    {
        bool isTaken;
        bool isMore;
        lock (_gate)
        {
            if (_isStopping)
            {
                return false;
            }

            if (_handedOver.TryDequeue(out BlockRequest? handed))
            {
                _spare.Push(request);
                request = handed;
                return true;
            }

            // A barrier in flight: its thread goes on alone, and looks for more afterwards.
            isTaken = !_hasBarrier && _ring.TryTake(request.Slot);
            if (isTaken)
            {
                // This thread will be busy: the next request is for one that waits.
                _hasBarrier = request.Slot[0] == (byte)BlockOperation.WriteBarrier;
                isMore = !_hasBarrier && Volatile.Read(ref _idle) != 0 && _ring.RequestNotification();
            }
            else
            {
                // From here on a notification finds this thread waiting.
                Interlocked.Or(ref _idle, thread);
                isMore = !_hasBarrier && _ring.RequestNotification();
                ReportIfBroken();
            }
        }

        if (isMore)
        {
            WakeThread();
        }

        return isTaken;
    }

    /// <summary>Does what takes no waiting, as long as no other kind of request is next.</summary>
    /// <returns>Whether nothing is left to do.</returns>
    private bool TryServeAtOnce()
    {
        if (_isStopping || _channel is not HostChannel channel || !Monitor.TryEnter(_gate))
        {
            return false;
        }

        Monitor.Exit(_gate);
        bool isNotified = false;
        bool isLeft;
        int budget = MaxForOneNotification;
        Span<byte> response = stackalloc byte[BlockRequest.ResponseSize];
        while (TryTakeTransfer(budget, out isLeft) is BlockRequest request)
        {
            bool isDone = TryDoAtOnce(request, out BlockStatus status);
            budget -= (int)Math.Min(request.Length, MaxForOneNotification);
            if (isDone)
            {
                request.WriteResponse(response, status);
            }

            lock (_gate)
            {
                if (isDone)
                {
                    _ring.Put(response);
                    isNotified |= _ring.Publish();
                    WatchLarge(request);
                    _spare.Push(request);
                    if (_hasBarrier)
                    {
                        Monitor.PulseAll(_gate);
                    }
                }
                else
                {
                    _handedOver.Enqueue(request);
                }
            }

            if (!isDone)
            {
                WakeThread();
            }
        }

        if (isNotified)
        {
            channel.Notify();
        }

        return !isLeft;
    }

    /// <summary>Takes the next request if it is a read, or a write that nothing in flight could hold up.</summary>
    /// <param name="budget">Bytes that may still be moved.</param>
    /// <param name="isLeft">Whether there is a request and it was not taken.</param>
    private BlockRequest? TryTakeTransfer(int budget, out bool isLeft)
    {
        Span<byte> start = stackalloc byte[BlockRequest.HeadSize];
        BlockRequest? request = null;
        bool isShared = false;
        lock (_gate)
        {
            isLeft = _ring.RequestNotification() || _ring.IsBroken;
            if (!isLeft || budget <= 0 || _hasBarrier || _isStopping || !_ring.TryPeek(start))
            {
                return null;
            }

            bool isIndirect = start[0] == (byte)BlockOperation.Indirect;
            byte operation = isIndirect ? start[1] : start[0];
            bool isRead = operation == (byte)BlockOperation.Read;
            if (isIndirect && BlockRequest.MaxIndirectLength(start) > Large && _large.IsForThread)
            {
                return null;
            }

            if (!isRead && (operation != (byte)BlockOperation.Write || _ring.Outstanding > 0 || Stopwatch.GetTimestamp() < _threadsWriteUntil))
            {
                return null;
            }

            request = _spare.TryPop(out BlockRequest? spare) ? spare : new BlockRequest(_grants);
            if (!_ring.TryTake(request.Slot))
            {
                _spare.Push(request);
                return null;
            }

            // The guest may have changed it since; what is something else is handed over. Reading much is shared with a thread; writes to one
            // file would only wait for each other.
            _hasBarrier = request.Slot[0] == (byte)BlockOperation.WriteBarrier;
            isLeft = false;
            isShared = isIndirect && isRead && _ring.Available > 0;
        }

        if (isShared)
        {
            WakeThread();
        }

        return request;
    }

    private bool TryDoAtOnce(BlockRequest request, out BlockStatus status)
    {
        status = BlockStatus.Okay;
        request.Parse(_disk.Length);
        if (request.Defect is not null || request.Length == 0)
        {
            return false;
        }

        if (request.Operation == BlockOperation.Read && _disk.TryReadCached(request.Buffers, request.Offset))
        {
            request.AnnounceWrites();
            return true;
        }

        if (request.Operation != BlockOperation.Write || _disk.IsReadOnly || !_disk.IsWriteQuick(request.Offset, request.Length))
        {
            return false;
        }

        long start = Stopwatch.GetTimestamp();
        status = Execute(request, isParsed: true);
        long taken = Stopwatch.GetTimestamp() - start;
        if (taken > (SlowSeconds + (SlowSecondsPerByte * request.Length)) * Stopwatch.Frequency)
        {
            Volatile.Write(ref _threadsWriteUntil, start + (SlowFactor * taken));
        }

        return true;
    }

    private void WatchLarge(BlockRequest request)
    {
        if (request.Length > Large && request.Operation != BlockOperation.Discard)
        {
            _large.OnDone(request.Length, Stopwatch.GetTimestamp());
        }
    }

    private void ReportIfBroken()
    {
        if (_ring.IsBroken && !_isReportedBroken)
        {
            _isReportedBroken = true;
            _onBroken("the guest put an impossible index into the ring");
        }
    }

    private BlockStatus Execute(BlockRequest request, bool isParsed)
    {
        try
        {
            if (!isParsed)
            {
                request.Parse(_disk.Length);
            }

            if (request.Defect is string defect)
            {
                ReportDefect(defect);
                return request.DefectStatus;
            }

            return Carry(request);
        }
        catch (NotSupportedException exception)
        {
            ReportFailure(exception.Message);
            return BlockStatus.Unsupported;
        }
        catch (IOException exception)
        {
            ReportFailure(exception.Message);
            return BlockStatus.Error;
        }
        catch (Exception exception)
        {
            _logger.LogError(exception, "Disk {Name}: a request failed for an internal reason", _name);
            return BlockStatus.Error;
        }
    }

    private BlockStatus Carry(BlockRequest request)
    {
        if (_disk.IsReadOnly && request.Operation is not (BlockOperation.Read or BlockOperation.Flush))
        {
            ReportDefect("a write to a read-only disk");
            return BlockStatus.Error;
        }

        switch (request.Operation)
        {
            case BlockOperation.Read:
                if (request.Length > 0)
                {
                    _disk.Read(request.Buffers, request.Offset);
                    request.AnnounceWrites();
                }

                break;
            case BlockOperation.Write:
                if (request.Length > 0)
                {
                    _disk.Write(request.Buffers, request.Offset);
                }

                break;
            case BlockOperation.WriteBarrier:
                WaitUntilAlone();
                if (request.Length > 0)
                {
                    _disk.Write(request.Buffers, request.Offset);
                }

                _disk.Flush();
                break;
            case BlockOperation.Flush:
                _disk.Flush();
                break;
            case BlockOperation.Discard:
                if (request.Length > 0)
                {
                    _disk.Discard(request.Offset, request.Length);
                }

                break;
        }

        return BlockStatus.Okay;
    }

    private void WaitUntilAlone()
    {
        lock (_gate)
        {
            while (_ring.Outstanding > 1 && !_isStopping)
            {
                Monitor.Wait(_gate);
            }
        }
    }

    private void Finish(BlockRequest request, BlockStatus status)
    {
        Span<byte> response = stackalloc byte[BlockRequest.ResponseSize];
        request.WriteResponse(response, status);
        bool isNotified;
        bool wasBarrier = request.Slot[0] == (byte)BlockOperation.WriteBarrier;
        lock (_gate)
        {
            _ring.Put(response);
            isNotified = _ring.Publish();
            WatchLarge(request);
            if (wasBarrier)
            {
                _hasBarrier = false;
            }
            else if (_hasBarrier)
            {
                Monitor.PulseAll(_gate);
            }
        }

        if (isNotified)
        {
            _channel!.Notify();
        }
    }

    private void ReportDefect(string defect)
    {
        if (Interlocked.Exchange(ref _hasReportedDefect, 1) == 0)
        {
            _logger.LogWarning("Disk {Name}: the guest sent a request that cannot be carried out: {Defect}", _name, defect);
        }
    }

    private void ReportFailure(string reason)
    {
        if (Interlocked.Exchange(ref _hasReportedFailure, 1) == 0)
        {
            _logger.LogWarning("Disk {Name}: {Reason}; the guest gets an error", _name, reason);
        }
    }
}
