using System.Text;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Host.Terminals;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux;

/// <summary>
/// The terminal (or the pipes) of this process as the console of a machine, over all its restarts: raw mode, the
/// escape key, and a log file.
/// </summary>
internal sealed partial class MachineTerminal : IConsoleSink, IDisposable
{
    private readonly ITerminal _terminal;
    private readonly ILogger _logger;
    private FileStream? _log;
    private readonly Action _quit;
    private readonly CancellationTokenSource _closing = new();
    private ConsoleBackend? _console;
    private Task? _input;

    /// <param name="terminal">Disposed with this object.</param>
    /// <param name="logPath">A file that receives the output as well, or null.</param>
    /// <param name="quit">Called when the user asks for the end with the escape key.</param>
    /// <param name="logger">Told when the log cannot be written any more.</param>
    /// <exception cref="MachineStartException">The log cannot be written.</exception>
    public MachineTerminal(ITerminal terminal, string? logPath, Action quit, ILogger logger)
    {
        _logger = logger;
        _terminal = terminal;
        _quit = quit;
        _log = logPath == null ? null : OpenLog(logPath);
    }

    /// <summary>Makes a machine's console the one that gets the input. The first time, the terminal becomes raw.</summary>
    public void Connect(ConsoleBackend console)
    {
        Volatile.Write(ref _console, console);
        if (_input == null)
        {
            bool isRaw = _terminal.EnterRawMode();
            _input = Task.Run(() => PassInputAsync(isRaw ? new EscapeKeys() : null, _closing.Token));
        }
    }

    public void Write(ReadOnlySpan<byte> output)
    {
        // A guest goes on when nobody looks any more.
        _ = _terminal.Write(output);
        if (_log is FileStream log)
        {
            WriteLog(log, output);
        }
    }

    public void Dispose()
    {
        _closing.Cancel();
        _terminal.Dispose();
        _log?.Dispose();
    }

    /// <summary>A full disk ends the log, not the guest.</summary>
    private void WriteLog(FileStream log, ReadOnlySpan<byte> output)
    {
        try
        {
            log.Write(output);
        }
        catch (IOException error)
        {
            _log = null;
            log.Dispose();
            LogEnd(_logger, log.Name, error.Message);
        }
    }

    private async Task PassInputAsync(EscapeKeys? escape, CancellationToken closing)
    {
        byte[] typed = new byte[1024];
        byte[] filtered = new byte[typed.Length + 1];
        try
        {
            int length;
            while ((length = await _terminal.ReadAsync(typed, closing).ConfigureAwait(false)) > 0)
            {
                if (escape == null)
                {
                    await SendAsync(typed.AsMemory(0, length), closing).ConfigureAwait(false);
                    continue;
                }

                for (int done = 0; done < length;)
                {
                    (int used, int count, EscapeCommand command) = escape.Filter(typed.AsSpan(done, length - done), filtered);
                    done += used;
                    Task sent = SendAsync(filtered.AsMemory(0, count), closing);
                    if (command == EscapeCommand.Quit)
                    {
                        _quit();
                        return;
                    }

                    await sent.ConfigureAwait(false);
                    if (command == EscapeCommand.Help)
                    {
                        _ = _terminal.Write(Encoding.ASCII.GetBytes(EscapeKeys.Help));
                    }
                }
            }
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            // The machine has ended.
        }
    }

    private async Task SendAsync(ReadOnlyMemory<byte> input, CancellationToken closing)
    {
        while (!input.IsEmpty)
        {
            ConsoleBackend console = Volatile.Read(ref _console)!;
            int sent = console.Send(input.Span);
            input = input[sent..];
            if (sent == 0)
            {
                // Bounded, because a restart may replace the console meanwhile.
                await Task.WhenAny(console.WhenInputHasRoomAsync(closing), Task.Delay(100, closing)).ConfigureAwait(false);
                closing.ThrowIfCancellationRequested();
            }
        }
    }

    private static FileStream OpenLog(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new MachineStartException(MachineStartFailure.Host, $"cannot write the log {path}: {error.Message}", error);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "the log {Path} ends here, the guest goes on: {Reason}")]
    private static partial void LogEnd(ILogger logger, string path, string reason);
}
