using System.Text;
using CooperativeLinux.Host.Terminals;

namespace CooperativeLinux;

/// <summary>Passes what is typed on a terminal to a machine, and what follows the escape key to its owner's side.</summary>
internal static class TerminalInput
{
    /// <summary>Passes input until it ends, the machine is switched off with the escape key, or the terminal is detached.</summary>
    /// <param name="terminal">The terminal.</param>
    /// <param name="isRaw">Whether it is in raw mode; otherwise all input goes to the guest.</param>
    /// <param name="target">The machine.</param>
    /// <param name="closing">The machine has ended.</param>
    public static async Task PassAsync(ITerminal terminal, bool isRaw, ITerminalTarget target, CancellationToken closing)
    {
        EscapeKeys? escape = isRaw ? new EscapeKeys(target.CanDetach) : null;
        byte[] typed = new byte[1024];
        byte[] filtered = new byte[typed.Length + 1];
        try
        {
            int length;
            while ((length = await terminal.ReadAsync(typed, closing).ConfigureAwait(false)) > 0)
            {
                if (escape == null)
                {
                    await target.SendAsync(typed.AsMemory(0, length), closing).ConfigureAwait(false);
                    continue;
                }

                for (int done = 0; done < length;)
                {
                    (int used, int count, EscapeCommand command, string argument) = escape.Filter(typed.AsSpan(done, length - done), filtered);
                    done += used;
                    Task sent = target.SendAsync(filtered.AsMemory(0, count), closing);
                    if (command is EscapeCommand.Quit or EscapeCommand.Detach)
                    {
                        // Whatever was typed before may be stuck in a guest that does not read.
                        await target.ExecuteAsync(command, argument, closing).ConfigureAwait(false);
                        return;
                    }

                    await sent.ConfigureAwait(false);
                    await DoAsync(terminal, escape, target, command, argument, closing).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            // The machine has ended.
        }
    }

    private static async Task DoAsync(
        ITerminal terminal, EscapeKeys escape, ITerminalTarget target, EscapeCommand command, string argument, CancellationToken closing)
    {
        switch (command)
        {
            case EscapeCommand.None:
                break;
            case EscapeCommand.Help:
                _ = terminal.Write(Encoding.ASCII.GetBytes(escape.Help));
                break;
            case EscapeCommand.Echo:
                _ = terminal.Write(Encoding.ASCII.GetBytes(argument));
                break;
            default:
                await target.ExecuteAsync(command, argument, closing).ConfigureAwait(false);
                break;
        }
    }
}
