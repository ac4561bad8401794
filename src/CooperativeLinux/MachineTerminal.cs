using System.Text;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Host.Terminals;

namespace CooperativeLinux;

/// <summary>
/// The terminal (or the pipes) of this process as the console of its machine, over all restarts: raw mode and the escape key.
/// </summary>
internal sealed class MachineTerminal : IConsoleSink, ITerminalTarget, IDisposable
{
    private readonly ITerminal _terminal;
    private readonly MachineConsole _console;
    private readonly MachineControl _control;
    private readonly IDisposable _attachment;
    private readonly CancellationTokenSource _closing = new();

    /// <param name="terminal">Disposed with this object.</param>
    /// <param name="console">The machine's console.</param>
    /// <param name="control">Does what the user asks for with the escape key.</param>
    public MachineTerminal(ITerminal terminal, MachineConsole console, MachineControl control)
    {
        _terminal = terminal;
        _console = console;
        _control = control;
        _attachment = console.Attach(this, replay: false);
    }

    /// <inheritdoc/>
    public bool CanDetach => false;

    /// <summary>Begins to pass input; a terminal becomes raw.</summary>
    public void Start()
    {
        bool isRaw = _terminal.EnterRawMode();
        _ = Task.Run(() => TerminalInput.PassAsync(_terminal, isRaw, this, _closing.Token));
    }

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> output)
    {
        // A guest goes on when nobody looks any more.
        _ = _terminal.Write(output);
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

    /// <inheritdoc/>
    public Task SendAsync(ReadOnlyMemory<byte> input, CancellationToken cancellationToken) => _console.SendAsync(input, cancellationToken);

    /// <inheritdoc/>
    public Task ExecuteAsync(EscapeCommand command, string argument, CancellationToken cancellationToken)
    {
        if (_control.Execute(command, argument) is string answer)
        {
            ShowOnTerminal(answer);
        }

        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _closing.Cancel();
        _attachment.Dispose();
        _terminal.Dispose();
    }
}
