using System.Text;
using static CooperativeLinux.Host.Terminals.Sys.WindowsTerminalCalls;

namespace CooperativeLinux.Host.Terminals.Sys;

/// <summary>The standard handles: consoles, pipes or files.</summary>
internal sealed unsafe class WindowsTerminalDevice : TerminalDevice
{
    // The console announces a new size only among input records, which reading characters skips.
    private const int SizePollMilliseconds = 250;
    private const int MaxUtf8PerChar = 3;
    private const int WriteSize = 4096;

    private readonly nint _input;
    private readonly nint _output;
    private readonly Encoder _encoder = Encoding.UTF8.GetEncoder();
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
    private uint _inputModeBefore;
    private uint _outputModeBefore;
    private bool _isRemembered;
    private volatile bool _isCancelled;

    /// <param name="input">Handle of the input; stays open.</param>
    /// <param name="output">Handle of the output; stays open.</param>
    public WindowsTerminalDevice(nint input, nint output)
    {
        _input = input;
        _output = output;
        IsInputTerminal = GetConsoleMode(input, out _);
        IsOutputTerminal = GetConsoleMode(output, out _);
    }

    /// <inheritdoc/>
    public override bool IsInputTerminal { get; }

    /// <inheritdoc/>
    public override bool IsOutputTerminal { get; }

    /// <summary>The process's standard handles.</summary>
    public static WindowsTerminalDevice OpenStandard() => new(GetStandardHandle(StandardInput), GetStandardHandle(StandardOutput));

    /// <inheritdoc/>
    public override TerminalSize? ReadSize()
    {
        ScreenBufferInfo info = default;
        return IsOutputTerminal && GetScreenBufferInfo(_output, &info)
            ? new TerminalSize(info.Right - info.Left + 1, info.Bottom - info.Top + 1)
            : null;
    }

    /// <inheritdoc/>
    public override IDisposable? WatchSize(Action changed) =>
        IsOutputTerminal ? new Timer(_ => changed(), null, SizePollMilliseconds, SizePollMilliseconds) : null;

    /// <inheritdoc/>
    public override IDisposable? WatchResumption(Action resumed) => null;

    /// <inheritdoc/>
    public override bool TrySetRaw()
    {
        if (!GetConsoleMode(_input, out uint inputMode))
        {
            throw HostCallException.FromLast("GetConsoleMode of the input");
        }

        uint outputMode = 0;
        if (IsOutputTerminal && !GetConsoleMode(_output, out outputMode))
        {
            throw HostCallException.FromLast("GetConsoleMode of the output");
        }

        if (!_isRemembered)
        {
            _inputModeBefore = inputMode;
            _outputModeBefore = outputMode;
            _isRemembered = true;
        }

        uint raw = (inputMode & ~(ProcessedInput | LineInput | EchoInput)) | VirtualTerminalInput;
        if (!SetConsoleMode(_input, raw))
        {
            throw HostCallException.FromLast("SetConsoleMode of the input");
        }

        if (IsOutputTerminal)
        {
            uint mode = outputMode | ProcessedOutput | VirtualTerminalProcessing;

            // Windows Server 2016 refuses the last flag alone.
            if (!SetConsoleMode(_output, mode | DisableNewlineAutoReturn) && !SetConsoleMode(_output, mode))
            {
                HostCallException failure = HostCallException.FromLast("SetConsoleMode of the output");
                Restore();
                throw failure;
            }
        }

        return true;
    }

    /// <inheritdoc/>
    public override void Restore()
    {
        if (!_isRemembered)
        {
            return;
        }

        _ = SetConsoleMode(_input, _inputModeBefore);
        if (IsOutputTerminal)
        {
            _ = SetConsoleMode(_output, _outputModeBefore);
        }
    }

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer)
    {
        if (!IsInputTerminal)
        {
            return _isCancelled ? 0 : ReadBytes(buffer);
        }

        // As characters: reading bytes in the UTF-8 code page gives zeros for what is not ASCII.
        char* characters = stackalloc char[buffer.Length / MaxUtf8PerChar];
        while (!_isCancelled && ReadConsole(_input, characters, (uint)(buffer.Length / MaxUtf8PerChar), out uint count, 0) && count != 0)
        {
            int length = _encoder.GetBytes(new ReadOnlySpan<char>(characters, (int)count), buffer, flush: false);
            if (length > 0)
            {
                return length;
            }
        }

        return 0;
    }

    /// <inheritdoc/>
    public override void CancelRead()
    {
        _isCancelled = true;
        _ = CancelIo(_input, 0);
    }

    /// <inheritdoc/>
    public override bool Write(ReadOnlySpan<byte> bytes)
    {
        if (IsOutputTerminal)
        {
            return WriteCharacters(bytes);
        }

        while (!bytes.IsEmpty)
        {
            fixed (byte* start = bytes)
            {
                if (!WriteFile(_output, start, (uint)bytes.Length, out uint written, 0))
                {
                    return false;
                }

                bytes = bytes[(int)written..];
            }
        }

        return true;
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        // The standard handles stay the process's.
    }

    // Bytes would need the console's code page to be UTF-8. It is of all programs in the console, one that is killed leaves it
    // behind, and consoles before Windows 10 2004 lose a character whose bytes come in two calls.
    private bool WriteCharacters(ReadOnlySpan<byte> bytes)
    {
        char* characters = stackalloc char[WriteSize + 1];
        while (!bytes.IsEmpty)
        {
            ReadOnlySpan<byte> part = bytes[..Math.Min(bytes.Length, WriteSize)];
            bytes = bytes[part.Length..];
            uint count = (uint)_decoder.GetChars(part, new Span<char>(characters, WriteSize + 1), flush: false);
            for (uint done = 0, written; done < count; done += written)
            {
                if (!WriteConsole(_output, characters + done, count - done, out written, 0) || written == 0)
                {
                    return false;
                }
            }
        }

        return true;
    }

    private int ReadBytes(Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            // Failures are ends: a broken pipe, a closed handle.
            return ReadFile(_input, start, (uint)buffer.Length, out uint count, 0) ? (int)count : 0;
        }
    }
}
