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
    private readonly MachineControl _control;
    private FileStream? _log;
    private readonly CancellationTokenSource _closing = new();
    private ConsoleBackend? _console;
    private Task? _input;

    /// <param name="terminal">Disposed with this object.</param>
    /// <param name="logPath">A file that receives the output as well, or null.</param>
    /// <param name="control">Does what the user asks for with the escape key.</param>
    /// <param name="logger">Told when the log cannot be written any more.</param>
    /// <exception cref="MachineStartException">The log cannot be written.</exception>
    public MachineTerminal(ITerminal terminal, string? logPath, MachineControl control, ILogger logger)
    {
        _logger = logger;
        _terminal = terminal;
        _control = control;
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

    /// <summary>Tells the owner something that must not be missed: on the terminal, or on standard error.</summary>
    public void ShowNotice(string text)
    {
        if (!ShowOnTerminal(text))
        {
            System.Console.Error.WriteLine($"colinux: {text}");
        }
    }

    /// <summary>Shows a line on the terminal, if output is one; the output of a pipe is the guest's alone.</summary>
    /// <returns>Whether it was shown.</returns>
    public bool ShowOnTerminal(string text) =>
        _terminal.IsOutputTerminal && _terminal.Write(Encoding.UTF8.GetBytes($"\r\ncolinux: {text}\r\n"));

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
                    (int used, int count, EscapeCommand command, string argument) = escape.Filter(typed.AsSpan(done, length - done), filtered);
                    done += used;
                    Task sent = SendAsync(filtered.AsMemory(0, count), closing);
                    if (command == EscapeCommand.Quit)
                    {
                        _control.Quit();
                        return;
                    }

                    await sent.ConfigureAwait(false);
                    Do(command, argument);
                }
            }
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            // The machine has ended.
        }
    }

    private void Do(EscapeCommand command, string argument)
    {
        switch (command)
        {
            case EscapeCommand.None:
                break;
            case EscapeCommand.Help:
                _ = _terminal.Write(Encoding.ASCII.GetBytes(EscapeKeys.Help));
                break;
            case EscapeCommand.Echo:
                _ = _terminal.Write(Encoding.ASCII.GetBytes(argument));
                break;
            default:
                if (_control.Execute(command, argument) is string answer)
                {
                    ShowOnTerminal(answer);
                }

                break;
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
