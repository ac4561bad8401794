using CooperativeLinux.Devices.Console;

namespace CooperativeLinux;

/// <summary>The console of a machine, over all restarts of its guest. Any thread.</summary>
public sealed class MachineConsole : IConsoleSink
{
    private const int ScrollbackSize = 256 * 1024;

    private readonly Lock _gate = new();
    private readonly List<IConsoleSink> _sinks = [];
    private readonly Scrollback _scrollback = new(ScrollbackSize);
    private ConsoleBackend? _console;

    internal MachineConsole()
    {
    }

    /// <summary>Gives a reader what the guest writes: bytes for a terminal, CR LF at the ends of lines.</summary>
    /// <param name="sink">Receives it. While it blocks, other readers wait, and what does not fit into 1 MiB is lost, but the guest
    /// goes on; <see cref="BufferedConsoleSink"/> takes a slow one out of the others' way.</param>
    /// <param name="replay">Give it the last 256 KiB first; nothing is missed or doubled in between.</param>
    /// <returns>Ends it when disposed.</returns>
    public IDisposable Attach(IConsoleSink sink, bool replay = true)
    {
        ArgumentNullException.ThrowIfNull(sink);
        lock (_gate)
        {
            if (replay)
            {
                sink.Write(_scrollback.ToArray());
            }

            _sinks.Add(sink);
        }

        return new Attachment(this, sink);
    }

    /// <summary>The console as a stream: reading gives what the guest writes, until the machine ends; writing is typing (CR for Enter).</summary>
    /// <param name="replay">Begin with the last 256 KiB.</param>
    public Stream Open(bool replay = true) => new ConsoleStream(this, replay);

    /// <summary>Types: raw bytes, CR for Enter.</summary>
    /// <param name="input">The bytes.</param>
    /// <param name="cancellationToken">Gives up waiting for a guest that does not read, also after a part.</param>
    public async Task SendAsync(ReadOnlyMemory<byte> input, CancellationToken cancellationToken = default)
    {
        while (!input.IsEmpty)
        {
            int sent = 0;
            Task room = Task.CompletedTask;
            if (Volatile.Read(ref _console) is { } console)
            {
                sent = console.Send(input.Span);
                room = console.WhenInputHasRoomAsync(cancellationToken);
            }

            input = input[sent..];
            if (sent == 0)
            {
                // Bounded, because a restart may replace the console meanwhile.
                Task pause = Task.Delay(100, cancellationToken);
                await (room.IsCompleted ? pause : Task.WhenAny(room, pause)).ConfigureAwait(false);
                cancellationToken.ThrowIfCancellationRequested();
            }
        }
    }

    /// <inheritdoc/>
    void IConsoleSink.Write(ReadOnlySpan<byte> output)
    {
        lock (_gate)
        {
            _scrollback.Add(output);
            foreach (IConsoleSink sink in _sinks)
            {
                sink.Write(output);
            }
        }
    }

    /// <summary>The guest was started anew: its console gets the input from now on.</summary>
    internal void Connect(ConsoleBackend console) => Volatile.Write(ref _console, console);

    /// <summary>The machine has ended.</summary>
    internal void Close()
    {
        lock (_gate)
        {
            foreach (ConsoleStream stream in _sinks.OfType<ConsoleStream>())
            {
                stream.End();
            }
        }
    }

    private sealed class Attachment(MachineConsole console, IConsoleSink sink) : IDisposable
    {
        public void Dispose()
        {
            lock (console._gate)
            {
                console._sinks.Remove(sink);
            }
        }
    }
}
