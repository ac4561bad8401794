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
/// asks, which is less work than waking a thread; large ones, and writes, only as long as that is not slower. The ring is used under a lock
/// that nobody holds while waiting.
/// </summary>
internal sealed class BlockQueue : IDisposable
{
    private const int ThreadStackSize = 256 << 10;

    /// <summary>Bytes after which a vCPU moves no further request for one notification.</summary>
    private const int MaxForOneNotification = 256 << 10;

    private readonly Disk _disk;
    private readonly BlockExecutor _executor;
    private readonly GrantTable _grants;
    private readonly SharedRing _ring;
    private readonly string _name;
    private readonly Action<string> _onBroken;
    private readonly Thread[] _threads;
    private readonly PreciseEvent[] _events;
    private readonly object _gate = new();
    private readonly TransferTrials _trials = new();
    private readonly PendingWrites _writes = new();

    // Requests that a vCPU took and could not do, and objects for further ones.
    private readonly Queue<BlockRequest> _handedOver = [];
    private readonly Stack<BlockRequest> _spare = [];
    private volatile HostChannel? _channel;
    private ulong _idle;
    private bool _hasBarrier;
    private bool _isReportedBroken;
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
        _executor = new BlockExecutor(disk, name, logger);
        _grants = grants;
        _ring = ring;
        _name = name;
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
        while (!_isStopping)
        {
            if (!TryTake(1UL << number, out BlockRequest? request, out bool isNew))
            {
                _events[number].Wait(PreciseEvent.Infinite);
            }
            else if (request is null || (isNew && TryBecomeWriter(ref request)))
            {
                WritePending();
            }
            else if (request is not null)
            {
                if (request.Operation == BlockOperation.WriteBarrier)
                {
                    WaitUntilAlone();
                }

                Finish([request], _executor.Execute(request));
            }
        }
    }

    /// <summary>Takes something to do, or says that this thread waits for it.</summary>
    /// <param name="thread">This thread's bit.</param>
    /// <param name="request">A request, or null: the thread is the writer.</param>
    /// <param name="isNew">Whether nobody has parsed the request yet.</param>
    private bool TryTake(ulong thread, out BlockRequest? request, out bool isNew)
    {
        bool isTaken;
        bool isMore;
        request = null;
        isNew = false;
        lock (_gate)
        {
            if (_isStopping)
            {
                return false;
            }

            // Writes first: only the first of them wakes a thread.
            if (_writes.TryBegin() || _handedOver.TryDequeue(out request))
            {
                return true;
            }

            // A barrier in flight: its thread goes on alone, and looks for more afterwards.
            request = TakeSpare();
            isNew = true;
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
                _spare.Push(request);
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

    /// <summary>Leaves a write to the writer.</summary>
    /// <param name="request">Becomes null if it was one that can be done.</param>
    /// <returns>Whether the caller is the writer now.</returns>
    private bool TryBecomeWriter(ref BlockRequest? request)
    {
        request!.Parse(_disk.Length);
        if (!IsForWriter(request))
        {
            return false;
        }

        lock (_gate)
        {
            _writes.Add(request);
            request = null;
            return _writes.TryBegin();
        }
    }

    // Where a write has to wait, several are better in flight at the same time.
    private bool IsForWriter(BlockRequest request) => _executor.IsQuickWrite(request) && !_executor.AreWritesSlow;

    private void WritePending()
    {
        bool isMore;
        do
        {
            ReadOnlySpan<BlockRequest> batch = _writes.Batch;
            if (batch.Length > 1 && _executor.TryWrite(_writes.Buffers, batch[0].Offset))
            {
                Finish(batch, BlockStatus.Okay);
            }
            else
            {
                foreach (BlockRequest request in batch)
                {
                    Finish([request], _executor.Execute(request));
                }
            }

            isMore = TryContinue(isLast: false);
            if (!isMore)
            {
                _writes.WaitForMore();
                isMore = TryContinue(isLast: true);
            }
        }
        while (isMore && !_isStopping);
    }

    private bool TryContinue(bool isLast)
    {
        lock (_gate)
        {
            return _writes.TryContinue(isLast);
        }
    }

    private BlockRequest TakeSpare() => _spare.TryPop(out BlockRequest? spare) ? spare : new BlockRequest(_grants);

    /// <summary>Does what takes no waiting, as long as no other kind of request is next.</summary>
    /// <returns>Whether nothing is left to do.</returns>
    private bool TryServeAtOnce()
    {
        if (_isStopping || _channel is not HostChannel channel || !IsGateFree())
        {
            return false;
        }

        bool isNotified = false;
        bool isLeft;
        int budget = MaxForOneNotification;
        Span<byte> response = stackalloc byte[BlockRequest.ResponseSize];
        while (TryTakeTransfer(budget, out isLeft, out bool isForThread) is BlockRequest request)
        {
            BlockStatus status = BlockStatus.Okay;
            request.Parse(_disk.Length);
            bool isDone = !isForThread && TryDoAtOnce(request, out status);
            bool isForWriter = !isDone && IsForWriter(request);
            bool isWoken = false;
            if (isDone)
            {
                request.WriteResponse(response, status);
                budget -= (int)Math.Min(request.Length, MaxForOneNotification);
            }

            lock (_gate)
            {
                if (isDone)
                {
                    Put(request, response);
                    isNotified |= _ring.Publish();
                }
                else if (isForWriter)
                {
                    isWoken = _writes.Add(request);
                }
                else
                {
                    isWoken = true;
                    _handedOver.Enqueue(request);
                }
            }

            if (isWoken)
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

    /// <summary>Whether no thread is kept from going on while it holds the lock, which none does for more than a moment.</summary>
    private bool IsGateFree()
    {
        const int Tries = 30, SpinsOfATry = 20;
        for (int i = 0; !Monitor.TryEnter(_gate); i++)
        {
            if (i == Tries)
            {
                return false;
            }

            Thread.SpinWait(SpinsOfATry);
        }

        Monitor.Exit(_gate);
        return true;
    }

    /// <summary>Takes the next request if it is a read or a write.</summary>
    /// <param name="budget">Bytes that may still be moved.</param>
    /// <param name="isLeft">Whether there is a request and it was not taken.</param>
    /// <param name="isForThread">Whether it is a write that is to be handed over.</param>
    private BlockRequest? TryTakeTransfer(int budget, out bool isLeft, out bool isForThread)
    {
        isForThread = false;
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
            if (!isRead && operation != (byte)BlockOperation.Write)
            {
                return null;
            }

            bool isThreadFaster = _trials.IsForThread(BlockRequest.MaxLength(start), !isRead);
            if (isRead && isThreadFaster)
            {
                return null;
            }

            isForThread = !isRead && (isThreadFaster || _ring.Outstanding > 0 || _executor.AreWritesSlow);
            request = TakeSpare();
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
        if (request.Defect is not null || request.Length == 0)
        {
            return false;
        }

        if (request.Operation == BlockOperation.Read && _disk.TryReadCached(request.Buffers, request.Offset))
        {
            request.AnnounceWrites();
            return true;
        }

        if (!_executor.IsQuickWrite(request))
        {
            return false;
        }

        status = _executor.Execute(request);
        return true;
    }

    /// <summary>Puts the response of a request that is then free for another. Under the lock.</summary>
    private void Put(BlockRequest request, ReadOnlySpan<byte> response)
    {
        _ring.Put(response);
        _trials.OnDone(request, Stopwatch.GetTimestamp());
        _spare.Push(request);
        if (request.Slot[0] == (byte)BlockOperation.WriteBarrier)
        {
            _hasBarrier = false;
        }
        else if (_hasBarrier)
        {
            Monitor.PulseAll(_gate);
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

    private void Finish(ReadOnlySpan<BlockRequest> requests, BlockStatus status)
    {
        Span<byte> response = stackalloc byte[BlockRequest.ResponseSize];
        bool isNotified;
        lock (_gate)
        {
            foreach (BlockRequest request in requests)
            {
                request.WriteResponse(response, status);
                Put(request, response);
            }

            isNotified = _ring.Publish();
        }

        if (isNotified)
        {
            _channel!.Notify();
        }
    }
}
