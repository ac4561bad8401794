using System.Threading.Channels;

namespace CooperativeLinux.Commands;

/// <summary>
/// A command that runs in the guest. What it says is queued, since the guest's kernel waits for room in its console with a lock
/// held: a reader that is slow must not stop it.
/// </summary>
internal sealed class CommandExecution
{
    /// <summary>Bytes of output held for a slow reader; the command is given up when there are more.</summary>
    public const int MaxQueued = 64 << 20;

    private readonly Channel<(bool IsError, byte[] Bytes)> _queue = Channel.CreateUnbounded<(bool, byte[])>(new UnboundedChannelOptions { SingleReader = true });
    private readonly MarkedOutput _output;
    private readonly MarkedOutput _errors;
    private long _queued;

    public CommandExecution(string token)
    {
        Token = token;
        _output = new MarkedOutput(token, bytes => Queue(isError: false, bytes));
        _errors = new MarkedOutput(token, bytes => Queue(isError: true, bytes));
    }

    /// <summary>What marks it on the consoles.</summary>
    public string Token { get; }

    /// <summary>Takes a piece of one of the two streams. One thread for each of them.</summary>
    public void Add(bool isError, ReadOnlySpan<byte> piece)
    {
        (isError ? _errors : _output).Add(piece);
        if (_output.Status is not null && _errors.Status is not null)
        {
            _queue.Writer.TryComplete();
        }
    }

    /// <summary>The command will not come to its end.</summary>
    public void Abandon(string reason) => _queue.Writer.TryComplete(new IOException(reason));

    /// <summary>Passes on what it says until its end.</summary>
    /// <returns>Its exit status.</returns>
    /// <exception cref="IOException">It was given up; the message says why.</exception>
    public async Task<int> ReadAsync(Func<bool, ReadOnlyMemory<byte>, ValueTask> write, CancellationToken cancellationToken)
    {
        await foreach ((bool isError, byte[] bytes) in _queue.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            Interlocked.Add(ref _queued, -bytes.Length);
            await write(isError, bytes).ConfigureAwait(false);
        }

        return _output.Status ?? byte.MaxValue;
    }

    private void Queue(bool isError, ReadOnlySpan<byte> bytes)
    {
        if (Interlocked.Add(ref _queued, bytes.Length) > MaxQueued)
        {
            Abandon($"the command has written {MaxQueued >> 20} MiB that nobody took");
        }
        else
        {
            _queue.Writer.TryWrite((isError, bytes.ToArray()));
        }
    }
}
