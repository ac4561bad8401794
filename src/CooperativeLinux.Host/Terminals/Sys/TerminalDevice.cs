namespace CooperativeLinux.Host.Terminals.Sys;

/// <summary>The host's side of a <see cref="Terminal"/>.</summary>
internal abstract class TerminalDevice : IDisposable
{
    /// <summary>See <see cref="ITerminal.IsInputTerminal"/>.</summary>
    public abstract bool IsInputTerminal { get; }

    /// <summary>See <see cref="ITerminal.IsOutputTerminal"/>.</summary>
    public abstract bool IsOutputTerminal { get; }

    /// <summary>Current size, null without a terminal.</summary>
    public abstract TerminalSize? ReadSize();

    /// <summary>Calls back when the size may have changed, until disposed. Null without a terminal.</summary>
    public abstract IDisposable? WatchSize(Action changed);

    /// <summary>Calls back when the process goes on after having been stopped, until disposed. Null where that does not happen.</summary>
    public abstract IDisposable? WatchResumption(Action resumed);

    /// <summary>Sets raw mode; remembers the mode from before the first time.</summary>
    /// <returns>False if another job has the terminal.</returns>
    public abstract bool TrySetRaw();

    /// <summary>Restores the remembered mode. Never throws: it is called while the process ends.</summary>
    public abstract void Restore();

    /// <summary>Waits for input.</summary>
    /// <returns>Bytes read; 0 at the end of input, on errors and when cancelled.</returns>
    public abstract int Read(Span<byte> buffer);

    /// <summary>Makes the current and all later reads return 0.</summary>
    public abstract void CancelRead();

    /// <summary>Writes all.</summary>
    /// <returns>False if nobody takes it.</returns>
    public abstract bool Write(ReadOnlySpan<byte> bytes);

    /// <inheritdoc/>
    public abstract void Dispose();
}
