using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Processor.Memory;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Devices.Console;

/// <summary>
/// Backend of a console: the primary one (hvc0), or a further one (<see cref="SecondaryConsole"/>). A thread of its own drains the guest's output as soon as it is announced, since
/// the guest waits for room with a lock held, and feeds input as fast as the guest takes it. Any thread may call it.
/// </summary>
public sealed class ConsoleBackend : IDisposable
{
    /// <summary>Bytes of input held for a guest that does not read.</summary>
    public const int MaxPendingInput = 64 * 1024;

    /// <summary>
    /// The guest is told about room once this much was drained in one go. A guest that found the ring full left at least this much in one
    /// of the two drains around its look, and less would be noise to it.
    /// </summary>
    private const int TellThreshold = ConsoleRing.OutputSize / 2;

    private readonly ConsoleRing _ring;
    private readonly HostChannel _channel;
    private readonly ILogger _logger;
    private readonly AutoResetEvent _wake = new(false);
    private readonly Thread _thread;
    private readonly Lock _sinkGate = new();
    private readonly List<IConsoleSink> _sinks = [];
    private readonly Lock _inputGate = new();
    private readonly Queue<byte> _input = new();
    private TaskCompletionSource _inputRoom = NewSource();
    private bool _hasWarned;
    private volatile bool _isStopping;

    /// <summary>Prepares the page and its event channel and starts serving.</summary>
    /// <param name="memory">Guest memory.</param>
    /// <param name="frame">Frame of the ring page.</param>
    /// <param name="events">Event channels; one port is taken.</param>
    /// <param name="sink">Where output goes; further ones with <see cref="Attach"/>. Null: only to the scrollback.</param>
    /// <param name="scrollbackSize">Bytes of output kept.</param>
    /// <param name="logger">Told once when the guest breaks the protocol.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such frame.</exception>
    public ConsoleBackend(GuestMemory memory, ulong frame, EventChannels events, IConsoleSink? sink = null, int scrollbackSize = 256 * 1024, ILogger? logger = null)
        : this(EmptyPage(memory, frame), wake => events.AllocateHostPort(wake), sink, scrollbackSize, logger)
    {
    }

    /// <summary>Serves a ring that the guest has made.</summary>
    /// <param name="page">The ring's page.</param>
    /// <param name="openChannel">Opens the event channel; told what to do when the guest notifies.</param>
    /// <param name="sink">Where output goes, or null.</param>
    /// <param name="scrollbackSize">Bytes of output kept.</param>
    /// <param name="logger">Told once when the guest breaks the protocol.</param>
    internal ConsoleBackend(GuestPages page, Func<Action, HostChannel> openChannel, IConsoleSink? sink, int scrollbackSize, ILogger? logger)
    {
        _logger = logger ?? NullLogger.Instance;
        Scrollback = new Scrollback(scrollbackSize);
        if (sink is not null)
        {
            _sinks.Add(sink);
        }

        _ring = new ConsoleRing(page);
        _channel = openChannel(() => _wake.Set());
        _thread = new Thread(Serve) { IsBackground = true, Name = "console" };
        _thread.Start();
    }

    /// <summary>The guest's port.</summary>
    public uint Port => _channel.Port;

    /// <summary>The last output.</summary>
    public Scrollback Scrollback { get; }

    /// <summary>Adds a sink.</summary>
    /// <param name="sink">Receives output from now on.</param>
    /// <param name="replay">Give it the scrollback first; nothing is missed or doubled in between.</param>
    /// <returns>Removes the sink when disposed; after that it is not called.</returns>
    public IDisposable Attach(IConsoleSink sink, bool replay = true)
    {
        lock (_sinkGate)
        {
            if (replay)
            {
                sink.Write(Scrollback.ToArray());
            }

            _sinks.Add(sink);
        }

        return new Attachment(this, sink);
    }

    /// <summary>Sends input to the guest: raw bytes, CR for Enter.</summary>
    /// <returns>Bytes taken; fewer than given while the guest does not read (see <see cref="WhenInputHasRoomAsync"/>).</returns>
    public int Send(ReadOnlySpan<byte> input)
    {
        int count;
        lock (_inputGate)
        {
            count = Math.Min(input.Length, MaxPendingInput - _input.Count);
            foreach (byte value in input[..count])
            {
                _input.Enqueue(value);
            }

            if (_input.Count == MaxPendingInput && _inputRoom.Task.IsCompleted)
            {
                _inputRoom = NewSource();
            }
        }

        _wake.Set();
        return count;
    }

    /// <summary>Completes when <see cref="Send"/> can take at least one byte.</summary>
    public Task WhenInputHasRoomAsync(CancellationToken cancellation = default)
    {
        lock (_inputGate)
        {
            return _input.Count < MaxPendingInput ? Task.CompletedTask : _inputRoom.Task.WaitAsync(cancellation);
        }
    }

    /// <summary>Output that comes by another way than the ring: the console_io hypercall, used before the ring is up and in panics.</summary>
    public void WriteDirect(ReadOnlySpan<byte> output) => Emit(output);

    /// <summary>Takes what the guest has written so far, and ends.</summary>
    public void Dispose()
    {
        if (!_isStopping)
        {
            _isStopping = true;
            _wake.Set();
            _thread.Join();
            _channel.Dispose();
        }
    }

    private static GuestPages EmptyPage(GuestMemory memory, ulong frame)
    {
        if (!GuestPages.TryCreate(memory, [frame], out GuestPages? page))
        {
            throw new ArgumentOutOfRangeException(nameof(frame), frame, "The guest has no such frame.");
        }

        page.CopyFrom(0, new byte[page.Length]);
        return page;
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void Serve()
    {
        byte[] buffer = new byte[ConsoleRing.OutputSize];
        while (true)
        {
            bool isLastRound = _isStopping;
            int drained = Drain(buffer);
            int fed = Feed(buffer);
            if (drained >= TellThreshold || fed > 0)
            {
                _channel.Notify();
            }

            if (isLastRound)
            {
                return;
            }

            if (drained == 0 && fed == 0)
            {
                _wake.WaitOne();
            }
        }
    }

    private int Drain(byte[] buffer)
    {
        int count = _ring.Drain(buffer, out bool isBroken);
        if (isBroken && !_hasWarned)
        {
            _hasWarned = true;
            _logger.LogWarning("The guest put an impossible index into its console ring; output was lost");
        }

        if (count > 0)
        {
            Emit(buffer.AsSpan(0, count));
        }

        return count;
    }

    private int Feed(byte[] buffer)
    {
        TaskCompletionSource? room = null;
        int fed = 0;
        lock (_inputGate)
        {
            int count = 0;
            foreach (byte value in _input)
            {
                buffer[count++] = value;
                if (count == ConsoleRing.InputSize)
                {
                    break;
                }
            }

            if (count > 0)
            {
                fed = _ring.Feed(buffer.AsSpan(0, count));
                if (fed > 0 && _input.Count == MaxPendingInput)
                {
                    room = _inputRoom;
                }

                for (int i = 0; i < fed; i++)
                {
                    _input.Dequeue();
                }
            }
        }

        room?.TrySetResult();
        return fed;
    }

    private void Emit(ReadOnlySpan<byte> output)
    {
        lock (_sinkGate)
        {
            Scrollback.Add(output);
            for (int i = _sinks.Count - 1; i >= 0; i--)
            {
                try
                {
                    _sinks[i].Write(output);
                }
                catch (Exception exception)
                {
                    _logger.LogWarning("A console output failed and is detached: {Message}", exception.Message);
                    _sinks.RemoveAt(i);
                }
            }
        }
    }

    private sealed class Attachment(ConsoleBackend console, IConsoleSink sink) : IDisposable
    {
        public void Dispose()
        {
            lock (console._sinkGate)
            {
                console._sinks.Remove(sink);
            }
        }
    }
}
