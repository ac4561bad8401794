using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Block;

using Monitor = System.Threading.Monitor;

/// <summary>
/// Carries out the requests of one ring on a few threads, so that several are in flight and no vCPU waits for the host. Threads take
/// from the ring and answer under a lock, and move data outside it; a thread that leaves requests behind wakes another one.
/// </summary>
internal sealed class BlockQueue : IDisposable
{
    private const int ThreadStackSize = 256 << 10;

    private readonly Disk _disk;
    private readonly GrantTable _grants;
    private readonly SharedRing _ring;
    private readonly ILogger _logger;
    private readonly string _name;
    private readonly Action<string> _onBroken;
    private readonly Thread[] _threads;
    private readonly SemaphoreSlim _wake = new(0);
    private readonly object _gate = new();
    private HostChannel? _channel;
    private int _wakeups;
    private int _idle;
    private bool _hasBarrier;
    private bool _isReportedBroken;
    private int _hasReportedDefect;
    private int _hasReportedFailure;
    private volatile bool _isStopping;

    /// <param name="disk">Where the data are.</param>
    /// <param name="grants">The guest's grants.</param>
    /// <param name="ring">The ring.</param>
    /// <param name="threadCount">Requests carried out at the same time.</param>
    /// <param name="name">For messages.</param>
    /// <param name="logger">Told once about the first defect of the guest and the first failure of the host.</param>
    /// <param name="onBroken">Called once with the reason when the ring cannot be served any more; on any thread.</param>
    public BlockQueue(Disk disk, GrantTable grants, SharedRing ring, int threadCount, string name, ILogger logger, Action<string> onBroken)
    {
        _disk = disk;
        _grants = grants;
        _ring = ring;
        _name = name;
        _logger = logger;
        _onBroken = onBroken;
        _threads = new Thread[threadCount];
    }

    /// <summary>Starts serving.</summary>
    /// <param name="channel">Tells the guest about answers. Its notifications go to <see cref="Wake"/>.</param>
    public void Start(HostChannel channel)
    {
        _channel = channel;
        for (int i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(Serve, ThreadStackSize) { IsBackground = true, Name = $"{_name} {i}" };
            _threads[i].Start();
        }
    }

    /// <summary>There may be requests. Any thread; does not block.</summary>
    public void Wake()
    {
        if (Interlocked.Exchange(ref _wakeups, 1) == 0)
        {
            _wake.Release();
        }
    }

    /// <summary>Ends after the requests in flight. The guest gets no answer to the others.</summary>
    public void Dispose()
    {
        if (_isStopping)
        {
            return;
        }

        lock (_gate)
        {
            _isStopping = true;
            Monitor.PulseAll(_gate);
        }

        _wake.Release(_threads.Length);
        foreach (Thread? thread in _threads)
        {
            thread?.Join();
        }

        _channel?.Dispose();
        _wake.Dispose();
    }

    private void Serve()
    {
        BlockRequest request = new(_grants);
        while (!_isStopping)
        {
            if (TryTake(request))
            {
                Finish(request, Execute(request));
                continue;
            }

            _wake.Wait();
            Interlocked.Decrement(ref _idle);

            // What comes from here on wakes another thread; what came before is looked at now.
            Interlocked.Exchange(ref _wakeups, 0);
        }
    }

    private bool TryTake(BlockRequest request)
    {
        bool isTaken;
        bool isMore = false;
        lock (_gate)
        {
            // A barrier in flight: its thread goes on alone, and wakes the others afterwards.
            isTaken = !_hasBarrier && !_isStopping && _ring.TryTake(request.Slot);
            if (isTaken)
            {
                _hasBarrier = request.Slot[0] == (byte)BlockOperation.WriteBarrier;

                // This thread will be busy: the next request is for one that waits.
                isMore = !_hasBarrier && Volatile.Read(ref _idle) > 0 && _ring.RequestNotification();
            }
            else
            {
                // From here on a notification finds this thread waiting.
                Interlocked.Increment(ref _idle);
                isMore = !_hasBarrier && _ring.RequestNotification();

                ReportIfBroken();
            }
        }

        if (isMore)
        {
            Wake();
        }

        return isTaken;
    }

    private void ReportIfBroken()
    {
        if (_ring.IsBroken && !_isReportedBroken)
        {
            _isReportedBroken = true;
            _onBroken("the guest put an impossible index into the ring");
        }
    }

    private BlockStatus Execute(BlockRequest request)
    {
        try
        {
            request.Parse(_disk.Length);
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
