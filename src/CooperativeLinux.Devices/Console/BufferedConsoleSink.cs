namespace CooperativeLinux.Devices.Console;

/// <summary>
/// Puts a bounded buffer and a thread between a console and a slow sink, such as a terminal that somebody has stopped: the
/// guest never waits for it. What does not fit is dropped, and the sink is told how much.
/// </summary>
public sealed class BufferedConsoleSink : IConsoleSink, IDisposable
{
    private const int ChunkSize = 16 * 1024;

    private readonly IConsoleSink _sink;
    private readonly byte[] _buffer;
    private readonly Lock _gate = new();
    private readonly AutoResetEvent _wake = new(false);
    private readonly Thread _thread;
    private long _written;
    private long _read;
    private long _dropped;
    private volatile bool _isStopping;

    /// <param name="sink">The slow sink.</param>
    /// <param name="capacity">Bytes held for it.</param>
    public BufferedConsoleSink(IConsoleSink sink, int capacity = 1 << 20)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        _sink = sink;
        _buffer = new byte[capacity];
        _thread = new Thread(Run) { IsBackground = true, Name = "console output" };
        _thread.Start();
    }

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> output)
    {
        lock (_gate)
        {
            int room = _buffer.Length - (int)(_written - _read);
            int count = Math.Min(room, output.Length);
            _dropped += output.Length - count;
            int start = (int)(_written % _buffer.Length);
            int first = Math.Min(count, _buffer.Length - start);
            output[..first].CopyTo(_buffer.AsSpan(start));
            output[first..count].CopyTo(_buffer);
            _written += count;
        }

        _wake.Set();
    }

    /// <summary>Writes what is left and ends; waits at most two seconds for a sink that blocks.</summary>
    public void Dispose()
    {
        if (!_isStopping)
        {
            _isStopping = true;
            _wake.Set();
            _thread.Join(TimeSpan.FromSeconds(2));
        }
    }

    private void Run()
    {
        byte[] chunk = new byte[ChunkSize];
        while (true)
        {
            int count = Take(chunk, out long dropped);
            if (count > 0)
            {
                _sink.Write(chunk.AsSpan(0, count));
            }

            if (dropped > 0)
            {
                _sink.Write(System.Text.Encoding.ASCII.GetBytes($"\r\n[{dropped} bytes of output lost]\r\n"));
            }

            if (count == 0 && dropped == 0)
            {
                if (_isStopping)
                {
                    return;
                }

                _wake.WaitOne();
            }
        }
    }

    /// <summary>Takes a chunk, or the count of dropped bytes once everything before them was taken.</summary>
    private int Take(byte[] chunk, out long dropped)
    {
        lock (_gate)
        {
            int start = (int)(_read % _buffer.Length);
            int count = (int)Math.Min(Math.Min(_written - _read, chunk.Length), _buffer.Length - start);
            _buffer.AsSpan(start, count).CopyTo(chunk);
            _read += count;
            dropped = _read == _written ? _dropped : 0;
            _dropped -= dropped;
            return count;
        }
    }
}
