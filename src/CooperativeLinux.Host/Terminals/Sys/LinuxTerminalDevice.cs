using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using CooperativeLinux.Host.Sys;
using static CooperativeLinux.Host.Terminals.Sys.LinuxTerminalCalls;

namespace CooperativeLinux.Host.Terminals.Sys;

/// <summary>Two file descriptors.</summary>
[SupportedOSPlatform("linux")]
internal sealed unsafe class LinuxTerminalDevice : TerminalDevice
{
    private readonly int _input;
    private readonly int _output;
    private readonly int _cancellation;
    private TerminalAttributes _before;
    private bool _isRemembered;

    /// <param name="input">File descriptor of the input; stays open.</param>
    /// <param name="output">File descriptor of the output; stays open.</param>
    public LinuxTerminalDevice(int input, int output)
    {
        _input = input;
        _output = output;
        IsInputTerminal = IsTerminal(input) == 1;
        IsOutputTerminal = IsTerminal(output) == 1;
        _cancellation = CreateEvent(0, EventCloseOnExec);
        if (_cancellation < 0)
        {
            throw HostCallException.FromLast("eventfd");
        }
    }

    /// <summary>The process's standard input and output.</summary>
    public static LinuxTerminalDevice OpenStandard() => new(Inherited(0), Inherited(1));

    /// <inheritdoc/>
    public override bool IsInputTerminal { get; }

    /// <inheritdoc/>
    public override bool IsOutputTerminal { get; }

    /// <inheritdoc/>
    public override TerminalSize? ReadSize()
    {
        WindowSize size = default;
        bool known = (IsOutputTerminal && Control(_output, GetWindowSize, &size) == 0)
            || (IsInputTerminal && Control(_input, GetWindowSize, &size) == 0);
        return known && size.Columns != 0 && size.Rows != 0 ? new TerminalSize(size.Columns, size.Rows) : null;
    }

    /// <inheritdoc/>
    public override IDisposable? WatchSize(Action changed) =>
        IsInputTerminal || IsOutputTerminal ? PosixSignalRegistration.Create(PosixSignal.SIGWINCH, _ => changed()) : null;

    /// <inheritdoc/>
    public override IDisposable? WatchResumption(Action resumed) =>
        PosixSignalRegistration.Create(PosixSignal.SIGCONT, _ => resumed());

    /// <inheritdoc/>
    public override bool TrySetRaw()
    {
        if (IsInBackground())
        {
            return false;
        }

        TerminalAttributes attributes = default;
        if (GetAttributes(_input, &attributes) != 0)
        {
            throw HostCallException.FromLast("tcgetattr");
        }

        if (!_isRemembered)
        {
            _before = attributes;
            _isRemembered = true;
        }

        MakeRaw(&attributes);
        return SetAttributes(_input, SetNow, &attributes) == 0 ? true : throw HostCallException.FromLast("tcsetattr");
    }

    /// <inheritdoc/>
    public override void Restore()
    {
        if (_isRemembered && !IsInBackground())
        {
            TerminalAttributes attributes = _before;
            _ = SetAttributes(_input, SetNow, &attributes);
        }
    }

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        if (_input < 0)
        {
            return 0; // poll would wait for ever
        }

        PollEntry* entries = stackalloc PollEntry[2];
        while (true)
        {
            entries[0] = new PollEntry { File = _cancellation, Events = PollIn };
            entries[1] = new PollEntry { File = _input, Events = PollIn };
            bool isReady = Poll(entries, 2, -1) > 0;
            if (entries[0].Results != 0 || (!isReady && Marshal.GetLastPInvokeError() != ErrorInterrupted))
            {
                return 0;
            }

            if (!isReady || entries[1].Results == 0)
            {
                continue;
            }

            fixed (byte* start = buffer)
            {
                nint count = LinuxTerminalCalls.Read(_input, start, (nuint)buffer.Length);
                if (count >= 0)
                {
                    return (int)count;
                }
            }

            // Anything else is an end: EIO after a hang-up, EBADF on a closed descriptor.
            if (Marshal.GetLastPInvokeError() is not (ErrorInterrupted or ErrorAgain))
            {
                return 0;
            }
        }
    }

    /// <inheritdoc/>
    public override void CancelRead()
    {
        ulong one = 1;
        _ = LinuxTerminalCalls.Write(_cancellation, (byte*)&one, sizeof(ulong));
    }

    /// <inheritdoc/>
    public override bool Write(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            nint count;
            fixed (byte* start = bytes)
            {
                count = LinuxTerminalCalls.Write(_output, start, (nuint)bytes.Length);
            }

            if (count >= 0)
            {
                bytes = bytes[(int)count..];
                continue;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case ErrorInterrupted:
                    break;
                case ErrorAgain: // somebody made the shared file description non-blocking
                    PollEntry entry = new() { File = _output, Events = PollOut };
                    _ = Poll(&entry, 1, -1);
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    /// <inheritdoc/>
    public override void Dispose() => _ = LinuxMemoryCalls.Close(_cancellation);

    /// <summary>The descriptor, or -1 if the process was started with it closed.</summary>
    private static int Inherited(int file)
    {
        // Then the runtime's own files have taken the number, and must not be touched. They are marked to be closed on
        // exec; what came through an exec cannot be.
        int flags = ControlDescriptor(file, GetDescriptorFlags);
        return flags < 0 || (flags & CloseOnExec) != 0 ? -1 : file;
    }

    /// <summary>Whether changing the mode would stop the process (SIGTTOU).</summary>
    private bool IsInBackground()
    {
        int foreground = GetForegroundGroup(_input);
        return foreground > 0 && foreground != GetOwnGroup();
    }
}
