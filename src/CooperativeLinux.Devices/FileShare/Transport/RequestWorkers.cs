using System.Diagnostics;

namespace CooperativeLinux.Devices.FileShare.Transport;

/// <summary>
/// Takes messages from some ports and has them served. What is quick is served at once by the vCPU that notifies, which is less work
/// than waking a thread; the rest by threads. A request that takes long keeps one thread; a notification that comes meanwhile wakes
/// another. They do not spin for the next request: on a busy host that takes more from the guest than it gives.
/// </summary>
internal sealed class RequestWorkers
{
    /// <summary>Bytes of each thread's stack: finding a file again goes down its path by recursion.</summary>
    public const int StackSize = 2 << 20;

    private const int ThreadCount = 4;

    // Requests that a vCPU serves for one notification.
    private const int MostAtOnce = 16;

    // A quick request that took longer than this was not: the host had to wait for its disk. Then the threads serve for so many times as
    // long, so that a vCPU waits for at most a small part of the time.
    private const double SlowSeconds = 0.001;
    private const int SlowFactor = 20;

    private readonly IReadOnlyList<RingPort> _ports;
    private readonly Func<int, byte[], int, byte[], bool> _serve;
    private readonly int _answerSize;
    private readonly SemaphoreSlim _wake = new(0);
    private readonly Thread[] _threads;
    private readonly Func<ReadOnlySpan<byte>, bool> _isQuick;
    private readonly Lock _atOnceGate = new();
    private readonly byte[] _quickMessage;
    private readonly byte[] _quickAnswer;
    private long _threadsUntil;
    private int _isSignalled;
    private volatile bool _isStopping;

    /// <param name="ports">The ports.</param>
    /// <param name="answerSize">Bytes of the buffer for answers.</param>
    /// <param name="serve">Serves a message: port's number, buffer, length (−1: the guest broke the protocol there), buffer for the
    /// answer. False stops all threads.</param>
    /// <param name="isQuick">Whether a message, of which it gets the start, is as a rule served without waiting.</param>
    /// <param name="name">For the threads' names.</param>
    public RequestWorkers(IReadOnlyList<RingPort> ports, int answerSize, Func<int, byte[], int, byte[], bool> serve, Func<ReadOnlySpan<byte>, bool> isQuick, string name)
    {
        _ports = ports;
        _answerSize = answerSize;
        _serve = serve;
        _isQuick = isQuick;
        _quickMessage = new byte[ports.Max(port => port.Size)];
        _quickAnswer = new byte[answerSize];
        _threads = new Thread[ThreadCount];
        for (int i = 0; i < ThreadCount; i++)
        {
            _threads[i] = new Thread(Work, StackSize) { IsBackground = true, Name = $"{name} {i}" };
            _threads[i].Start();
        }
    }

    /// <summary>There may be a message. Called by vCPUs; does not wait for long.</summary>
    public void OnNotify()
    {
        // Every other notification only says that the guest has read its answer.
        Interlocked.MemoryBarrier();
        if (HasWork() && !TryServeAtOnce())
        {
            WakeThread();
        }
    }

    /// <summary>Stops the threads. One that hangs in a call to the host is left behind; it has no way to the guest any more.</summary>
    /// <param name="patience">How long to wait for all.</param>
    public void Stop(TimeSpan patience)
    {
        _isStopping = true;
        _wake.Release(ThreadCount);
        long end = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        if (_atOnceGate.TryEnter(patience))
        {
            // No vCPU serves any more, and none begins to.
            _atOnceGate.Exit();
        }

        foreach (Thread thread in _threads)
        {
            if (thread != Thread.CurrentThread)
            {
                thread.Join((int)Math.Max(end - Environment.TickCount64, 0));
            }
        }
    }

    private void Work()
    {
        byte[] message = new byte[_ports.Max(port => port.Size)];
        byte[] answer = new byte[_answerSize];
        while (!_isStopping)
        {
            if (!TryServe(message, answer, isQuick: null))
            {
                _wake.Wait();
                Volatile.Write(ref _isSignalled, 0);
                Interlocked.MemoryBarrier();
            }
        }
    }

    /// <summary>Serves what is quick.</summary>
    /// <returns>Whether nothing is left.</returns>
    private bool TryServeAtOnce()
    {
        if (Stopwatch.GetTimestamp() < Volatile.Read(ref _threadsUntil) || !_atOnceGate.TryEnter())
        {
            return false;
        }

        try
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < MostAtOnce && !_isStopping && TryServe(_quickMessage, _quickAnswer, _isQuick); i++)
            {
                long end = Stopwatch.GetTimestamp();
                if (end - start > SlowSeconds * Stopwatch.Frequency)
                {
                    Volatile.Write(ref _threadsUntil, end + ((end - start) * SlowFactor));
                    break;
                }

                start = end;
            }
        }
        finally
        {
            _atOnceGate.Exit();
        }

        return !HasWork();
    }

    private bool TryServe(byte[] message, byte[] answer, Func<ReadOnlySpan<byte>, bool>? isQuick)
    {
        for (int i = 0; i < _ports.Count; i++)
        {
            if (_ports[i].TryTake(message, out int length, isQuick))
            {
                // This one may take long; the others shall not wait for it.
                if (isQuick is null && HasWork())
                {
                    WakeThread();
                }

                if (!_serve(i, message, length, answer))
                {
                    _isStopping = true;
                    _wake.Release(ThreadCount);
                }

                return true;
            }
        }

        return false;
    }

    private void WakeThread()
    {
        if (Interlocked.Exchange(ref _isSignalled, 1) == 0)
        {
            _wake.Release();
        }
    }

    private bool HasWork()
    {
        foreach (RingPort port in _ports)
        {
            if (port.HasWork)
            {
                return true;
            }
        }

        return false;
    }
}
