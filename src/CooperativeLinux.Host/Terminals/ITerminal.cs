namespace CooperativeLinux.Host.Terminals;

/// <summary>Size of a terminal in characters.</summary>
public readonly record struct TerminalSize(int Columns, int Rows);

/// <summary>
/// Standard input and output as bytes. Either may be a terminal, a pipe, a file or closed.
/// </summary>
public interface ITerminal : IDisposable
{
    /// <summary>Whether input comes from a terminal.</summary>
    bool IsInputTerminal { get; }

    /// <summary>Whether output goes to a terminal.</summary>
    bool IsOutputTerminal { get; }

    /// <summary>Whether the terminal is in raw mode.</summary>
    bool IsRaw { get; }

    /// <summary>Size of the output's terminal (else the input's), null without one.</summary>
    TerminalSize? Size { get; }

    /// <summary>The size changed. On any thread.</summary>
    event Action<TerminalSize>? Resized;

    /// <summary>Switches the terminal to raw mode: no echo, no line editing, no signals from keys (Ctrl-C is a byte), no changes to
    /// output; on Windows, escape sequences both ways. Bytes are UTF-8. It is restored by <see cref="LeaveRawMode"/>, <see cref="IDisposable.Dispose"/>,
    /// when the process exits, on an unhandled exception, and on SIGINT, SIGTERM, SIGHUP and SIGQUIT, also if somebody
    /// else handles these; not if the process is killed or fails fast.</summary>
    /// <returns>False, and nothing changed, if input is no terminal or another job has the terminal.</returns>
    /// <exception cref="HostCallException">The host refuses.</exception>
    bool EnterRawMode();

    /// <summary>Restores the mode from before <see cref="EnterRawMode"/>.</summary>
    void LeaveRawMode();

    /// <summary>Reads what is there, at least one byte. One reader at a time.</summary>
    /// <returns>Bytes read; 0 at the end of input (also after disposal).</returns>
    /// <exception cref="ArgumentException">The buffer is empty.</exception>
    ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default);

    /// <summary>Writes all bytes, waiting while the reader of a pipe is slow. Any thread; bytes of one call stay together.</summary>
    /// <returns>False if nobody takes the output any more; the bytes are dropped.</returns>
    bool Write(ReadOnlySpan<byte> bytes);
}
