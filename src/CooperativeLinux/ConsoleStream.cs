using CooperativeLinux.Devices.Console;

namespace CooperativeLinux;

/// <summary>A machine's console as a stream. One reader and one writer at a time.</summary>
internal sealed class ConsoleStream : Stream, IConsoleSink
{
    /// <summary>Bytes held for a reader that is slow; older ones are lost then.</summary>
    private const int Capacity = 1 << 20;

    private readonly MachineConsole _console;
    private readonly IDisposable _attachment;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _arrival = new(0);
    private readonly Queue<byte[]> _pieces = new();
    private int _position;
    private int _held;
    private bool _hasEnded;

    public ConsoleStream(MachineConsole console, bool replay)
    {
        _console = console;
        _attachment = console.Attach(this, replay);
    }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    void IConsoleSink.Write(ReadOnlySpan<byte> output)
    {
        if (output.IsEmpty)
        {
            return;
        }

        lock (_gate)
        {
            _pieces.Enqueue(output.ToArray());
            _held += output.Length;
            while (_held > Capacity && _pieces.Count > 1)
            {
                _held -= _pieces.Dequeue().Length - _position;
                _position = 0;
            }
        }

        _arrival.Release();
    }

    /// <summary>Nothing comes any more: a reader gets what there is, and then the end.</summary>
    public void End()
    {
        lock (_gate)
        {
            _hasEnded = true;
        }

        _arrival.Release();
    }

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (!buffer.IsEmpty)
        {
            lock (_gate)
            {
                if (_pieces.TryPeek(out byte[]? piece))
                {
                    int count = Math.Min(buffer.Length, piece.Length - _position);
                    piece.AsSpan(_position, count).CopyTo(buffer.Span);
                    _position += count;
                    _held -= count;
                    if (_position == piece.Length)
                    {
                        _pieces.Dequeue();
                        _position = 0;
                    }

                    return count;
                }

                if (_hasEnded)
                {
                    return 0;
                }
            }

            await _arrival.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        return 0;
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) =>
        ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        new(_console.SendAsync(buffer, cancellationToken));

    /// <inheritdoc/>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        _console.SendAsync(buffer.AsMemory(offset, count), cancellationToken);

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) =>
        _console.SendAsync(buffer.AsMemory(offset, count)).GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _attachment.Dispose();
            End();
        }

        base.Dispose(disposing);
    }
}
