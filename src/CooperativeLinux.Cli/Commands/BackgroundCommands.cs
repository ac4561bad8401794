using System.CommandLine;
using CooperativeLinux.Commands;
using CooperativeLinux.Control;
using CooperativeLinux.Guests.Machines;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux stop</c>, <c>attach</c>, <c>exec</c> and <c>logs</c>: what is done with a machine that runs in another process.</summary>
internal static class BackgroundCommands
{
    private static readonly TimeSpan LogPause = TimeSpan.FromMilliseconds(250);

    /// <summary>Creates <c>stop</c>.</summary>
    /// <param name="error">Receives messages.</param>
    public static Command CreateStop(TextWriter error)
    {
        Argument<string[]> names = new("NAME") { Arity = ArgumentArity.OneOrMore, Description = "Running machines" };
        Option<bool> force = new("--force", "-f") { Description = "Switch them off at once" };
        Option<double?> timeout = new("--timeout", "-t")
        {
            HelpName = "SECONDS",
            Description = "How long a guest may take before it is switched off [default: what the machine was started with]",
            CustomParser = StopSeconds.Parse,
        };
        Command command = new("stop", "Shuts machines down in order, and waits until they are off.") { names, force, timeout };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            MachineStore store = MachineStore.ForUser();
            List<MachineFolder> machines = [.. parsed.GetValue(names)!.Distinct().Select(name => MachineCommands.Find(store, name))];
            await Task.WhenAll(machines.Select(async machine =>
            {
                ControlClient client = await ConnectAsync(machine, cancellationToken).ConfigureAwait(false);
                await using (client.ConfigureAwait(false))
                {
                    TimeSpan? patience = parsed.GetValue(timeout) is double seconds ? TimeSpan.FromSeconds(seconds) : null;
                    await (parsed.GetValue(force)
                        ? client.KillAsync(cancellationToken)
                        : client.ShutDownAsync(patience, text => ErrorReport.Write(error, $"{machine.Name}: {text}"), cancellationToken)).ConfigureAwait(false);
                }

                await WaitForEndAsync(machine, cancellationToken).ConfigureAwait(false);
            })).ConfigureAwait(false);
            return (int)ExitCode.Success;
        });
        return command;
    }

    /// <summary>Creates <c>attach</c>.</summary>
    /// <param name="error">Receives messages.</param>
    public static Command CreateAttach(TextWriter error)
    {
        Argument<string> name = new("NAME") { Description = "A running machine" };
        Command command = new("attach", "Makes this terminal a console of a running machine (Ctrl-] d leaves it, Ctrl-] ? for help).") { name };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            MachineFolder machine = MachineCommands.Find(MachineStore.ForUser(), parsed.GetValue(name)!);
            ControlClient client = await ConnectAsync(machine, cancellationToken).ConfigureAwait(false);
            await using (client.ConfigureAwait(false))
            {
                bool hasEnded = await client.AttachAsync(cancellationToken).ConfigureAwait(false);
                ErrorReport.Write(error, hasEnded ? $"the machine {machine.Name} has ended" : $"the machine {machine.Name} goes on; 'colinux attach {machine.Name}' comes back to it");
                cancellationToken.ThrowIfCancellationRequested();
            }

            return (int)ExitCode.Success;
        });
        return command;
    }

    /// <summary>Creates <c>exec</c>.</summary>
    public static Command CreateExecute()
    {
        Argument<string> name = new("NAME") { Description = "A running machine" };
        Argument<string[]> words = new("COMMAND") { Arity = ArgumentArity.OneOrMore, Description = "A program and its arguments; write -- before it if they have options" };
        Command command = new("exec", "Runs a program in a running machine, as root and without input. Its output is the command's, and its exit status too.") { name, words };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            MachineFolder machine = MachineCommands.Find(MachineStore.ForUser(), parsed.GetValue(name)!);
            string[] program = parsed.GetValue(words)!;
            ControlClient client = await ConnectAsync(machine, cancellationToken).ConfigureAwait(false);
            await using (client.ConfigureAwait(false))
            {
                using Stream output = Console.OpenStandardOutput();
                using Stream errors = Console.OpenStandardError();
                try
                {
                    return await client.RunAsync(new GuestCommand(program[0], program[1..]), output, errors, cancellationToken).ConfigureAwait(false);
                }
                catch (Exception error) when (error is IOException or ArgumentException)
                {
                    throw new UserException(ExitCode.Failed, $"cannot run {program[0]} in {machine.Name}: {error.Message}", error);
                }
            }
        });
        return command;
    }

    /// <summary>Creates <c>logs</c>.</summary>
    public static Command CreateLogs()
    {
        Argument<string> name = new("NAME") { Description = "A machine that was started with 'start'" };
        Option<bool> follow = new("--follow", "-f") { Description = "Go on with what comes, until the machine ends" };
        Command command = new("logs", "Shows what a machine started with 'start' wrote to its console: the last 1 to 2 MiB.") { name, follow };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            MachineFolder machine = MachineCommands.Find(MachineStore.ForUser(), parsed.GetValue(name)!);
            if (!File.Exists(machine.ConsoleLogPath))
            {
                throw new UserException(ExitCode.Failed, $"there is no log of {machine.Name}; 'colinux start {machine.Name}' writes one");
            }

            using Stream output = Console.OpenStandardOutput();
            using RotatingLogReader reader = new(machine.ConsoleLogPath);
            bool isRunning;
            do
            {
                // Looked at before the last reading, so that the last words are not missed.
                isRunning = parsed.GetValue(follow) && MachineCommands.IsRunning(machine);
                while (reader.Read() is { Length: > 0 } piece)
                {
                    await output.WriteAsync(piece, cancellationToken).ConfigureAwait(false);
                }

                await output.FlushAsync(cancellationToken).ConfigureAwait(false);
                await Task.Delay(isRunning ? LogPause : TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
            }
            while (isRunning);
            return (int)ExitCode.Success;
        });
        return command;
    }

    /// <summary>Connects to a machine that runs.</summary>
    /// <exception cref="UserException">It does not, or is not to be reached.</exception>
    private static async Task<ControlClient> ConnectAsync(MachineFolder machine, CancellationToken cancellationToken)
    {
        try
        {
            if (await ControlClient.ConnectAsync(machine.ControlPath, cancellationToken).ConfigureAwait(false) is { } client)
            {
                return client;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException(ExitCode.Failed, $"cannot reach the machine {machine.Name}: {error.Message}", error);
        }

        throw new UserException(ExitCode.Failed, MachineCommands.IsRunning(machine)
            ? $"the machine {machine.Name} is starting or ending, or its disk is in use by another program; try again"
            : $"the machine {machine.Name} is not running; 'colinux start {machine.Name}' starts it");
    }

    /// <summary>Waits until the machine's process has let its disk go, so that it can be started or removed at once.</summary>
    private static async Task WaitForEndAsync(MachineFolder machine, CancellationToken cancellationToken)
    {
        for (int i = 0; i < 50 && MachineCommands.IsRunning(machine); i++)
        {
            await Task.Delay(100, cancellationToken).ConfigureAwait(false);
        }
    }
}
