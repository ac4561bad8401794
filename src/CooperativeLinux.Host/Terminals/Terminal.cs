using System.Runtime.InteropServices;
using System.Threading.Channels;
using CooperativeLinux.Host.Sys;
using CooperativeLinux.Host.Terminals.Sys;

namespace CooperativeLinux.Host.Terminals;

/// <summary>A terminal on a device of the host.</summary>
public sealed class Terminal : ITerminal
{
    private const int ReadSize = 4096;
    private const int BuffersAhead = 16;

    // Attributes off, cursor shown, cursor keys and keypad normal, bracketed paste and mouse reports off: what a guest that was
    // cut off may have left. Harmless where it did not.
    private static ReadOnlySpan<byte> ResetSequence => "\e[0m\e[?25h\e[?1l\e>\e[?2004l\e[?1000l\e[?1002l\e[?1006l"u8;

    private readonly TerminalDevice _device;
    private readonly Channel<byte[]> _input = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(BuffersAhead) { SingleReader = true, SingleWriter = true });
    private readonly Lock _stateLock = new();
    private readonly Lock _outputLock = new();
    private readonly List<IDisposable> _registrations = [];
    private ReadOnlyMemory<byte> _rest;
    private Thread? _reader;
    private TerminalSize? _lastSize;
    private volatile bool _isDisposed;
    private bool _isOutputGone;
    private bool _watchesExits;

    internal Terminal(TerminalDevice device)
    {
        _device = device;
        _lastSize = device.ReadSize();
        IDisposable? watch = device.WatchSize(OnSizeMayHaveChanged);
        if (watch is not null)
        {
            _registrations.Add(watch);
        }
    }

    /// <inheritdoc/>
    public event Action<TerminalSize>? Resized;

    /// <inheritdoc/>
    public bool IsInputTerminal => _device.IsInputTerminal;

    /// <inheritdoc/>
    public bool IsOutputTerminal => _device.IsOutputTerminal;

    /// <inheritdoc/>
    public bool IsRaw { get; private set; }

    /// <inheritdoc/>
    public TerminalSize? Size => _device.ReadSize();

    /// <summary>The terminal of this process: its standard input and output. Open one at a time.</summary>
    /// <exception cref="PlatformNotSupportedException">Neither Linux nor Windows.</exception>
    public static ITerminal Open() => new Terminal(HostPlatform.Create().CreateTerminalDevice());

    /// <inheritdoc/>
    public bool EnterRawMode()
    {
        lock (_stateLock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (IsRaw)
            {
                return true;
            }

            if (!_device.IsInputTerminal || !_device.TrySetRaw())
            {
                return false;
            }

            IsRaw = true;
            if (!_watchesExits)
            {
                _watchesExits = true;
                RegisterExits();
            }

            return true;
        }
    }

    /// <inheritdoc/>
    public void LeaveRawMode()
    {
        lock (_stateLock)
        {
            if (!IsRaw)
            {
                return;
            }

            IsRaw = false;
            if (_device.IsOutputTerminal)
            {
                _device.Write(ResetSequence);
            }

            _device.Restore();
        }
    }

    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty)
        {
            throw new ArgumentException("A read needs room for a byte.", nameof(buffer));
        }

        StartReader();
        while (_rest.IsEmpty)
        {
            if (!await _input.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                return 0;
            }

            if (_input.Reader.TryRead(out byte[]? bytes))
            {
                _rest = bytes;
            }
        }

        int count = Math.Min(buffer.Length, _rest.Length);
        _rest[..count].CopyTo(buffer);
        _rest = _rest[count..];
        return count;
    }

    /// <inheritdoc/>
    public bool Write(ReadOnlySpan<byte> bytes)
    {
        lock (_outputLock)
        {
            _isOutputGone = _isOutputGone || !_device.Write(bytes);
            return !_isOutputGone;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_stateLock)
        {
            if (_isDisposed)
            {
                return;
            }

            _isDisposed = true;
        }

        LeaveRawMode();
        AppDomain.CurrentDomain.ProcessExit -= OnExit;
        AppDomain.CurrentDomain.UnhandledException -= OnExit;
        foreach (IDisposable registration in _registrations)
        {
            registration.Dispose();
        }

        _device.CancelRead();
        _input.Writer.TryComplete();

        // A read that cannot be cancelled leaves its (background) thread and its device behind.
        if (_reader is null || _reader.Join(TimeSpan.FromMilliseconds(200)))
        {
            _device.Dispose();
        }
    }

    private void RegisterExits()
    {
        AppDomain.CurrentDomain.ProcessExit += OnExit;
        AppDomain.CurrentDomain.UnhandledException += OnExit;
        foreach (PosixSignal signal in (PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP, PosixSignal.SIGQUIT])
        {
            _registrations.Add(PosixSignalRegistration.Create(signal, _ => LeaveRawMode()));
        }

        IDisposable? resumption = _device.WatchResumption(OnResumed);
        if (resumption is not null)
        {
            _registrations.Add(resumption);
        }
    }

    private void OnExit(object? sender, EventArgs arguments) => LeaveRawMode();

    /// <summary>The shell of a stopped job has changed the mode.</summary>
    private void OnResumed()
    {
        lock (_stateLock)
        {
            if (IsRaw)
            {
                _ = _device.TrySetRaw();
            }
        }
    }

    private void OnSizeMayHaveChanged()
    {
        TerminalSize? size = _device.ReadSize();
        if (size is TerminalSize changed && size != _lastSize)
        {
            _lastSize = size;
            Resized?.Invoke(changed);
        }
    }

    private void StartReader()
    {
        lock (_stateLock)
        {
            if (_reader is null && !_isDisposed)
            {
                _reader = new Thread(ReadInput) { IsBackground = true, Name = "terminal input" };
                _reader.Start();
            }
        }
    }

    private void ReadInput()
    {
        byte[] buffer = new byte[ReadSize];
        int count;
        while (!_isDisposed && (count = _device.Read(buffer)) > 0)
        {
            byte[] bytes = buffer[..count];
            while (!_input.Writer.TryWrite(bytes))
            {
                // Wait for room: what is not read here stays with the host.
                if (!_input.Writer.WaitToWriteAsync().AsTask().GetAwaiter().GetResult())
                {
                    return;
                }
            }
        }

        _input.Writer.TryComplete();
    }
}
