namespace CooperativeLinux.Devices.FileShare.Transport;

/// <summary>
/// Threads that take messages from some ports and serve them. A request that takes long keeps one thread; a notification that comes
/// meanwhile wakes another. They do not spin for the next request: on a busy host that takes more from the guest than it gives.
/// </summary>
internal sealed class RequestWorkers
{
    /// <summary>Bytes of each thread's stack: finding a file again goes down its path by recursion.</summary>
    public const int StackSize = 2 << 20;

    private const int ThreadCount = 4;


    private readonly IReadOnlyList<RingPort> _ports;
    private readonly Func<int, byte[], int, byte[], bool> _serve;
    private readonly int _answerSize;
    private readonly SemaphoreSlim _wake = new(0);
    private readonly Thread[] _threads;
    private int _isSignalled;
    private volatile bool _isStopping;

    /// <param name="ports">The ports.</param>
    /// <param name="answerSize">Bytes of the buffer for answers.</param>
    /// <param name="serve">Serves a message: port's number, buffer, length (−1: the guest broke the protocol there), buffer for the
    /// answer. False stops all threads.</param>
    /// <param name="name">For the threads' names.</param>
    public RequestWorkers(IReadOnlyList<RingPort> ports, int answerSize, Func<int, byte[], int, byte[], bool> serve, string name)
    {
        _ports = ports;
        _answerSize = answerSize;
        _serve = serve;
        _threads = new Thread[ThreadCount];
        for (int i = 0; i < ThreadCount; i++)
        {
            _threads[i] = new Thread(Work, StackSize) { IsBackground = true, Name = $"{name} {i}" };
            _threads[i].Start();
        }
    }

    /// <summary>There may be a message. Any thread; does not block.</summary>
    public void Signal()
    {
        // Every other notification only says that the guest has read its answer.
        Interlocked.MemoryBarrier();
        if (HasWork() && Interlocked.Exchange(ref _isSignalled, 1) == 0)
        {
            _wake.Release();
        }
    }

    /// <summary>Stops the threads. One that hangs in a call to the host is left behind; it has no way to the guest any more.</summary>
    /// <param name="patience">How long to wait for all.</param>
    public void Stop(TimeSpan patience)
    {
        _isStopping = true;
        _wake.Release(ThreadCount);
        long end = Environment.TickCount64 + (long)patience.TotalMilliseconds;
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
            if (!TryServe(message, answer))
            {
                _wake.Wait();
                Volatile.Write(ref _isSignalled, 0);
                Interlocked.MemoryBarrier();
            }
        }
    }

    private bool TryServe(byte[] message, byte[] answer)
    {
        for (int i = 0; i < _ports.Count; i++)
        {
            if (_ports[i].TryTake(message, out int length))
            {
                // This one may take long; the others shall not wait for it.
                if (HasWork())
                {
                    Signal();
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
