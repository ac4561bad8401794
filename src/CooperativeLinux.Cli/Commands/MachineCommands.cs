using System.CommandLine;
using CooperativeLinux.Control;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Guests.Machines;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux ps</c> and <c>colinux rm</c>: the machines that have names.</summary>
internal static class MachineCommands
{
    // "running, process" and a number of seven digits.
    private const int StateWidth = 24;

    /// <summary>Creates <c>ps</c>.</summary>
    /// <param name="output">Receives the list.</param>
    public static Command CreateList(TextWriter output)
    {
        Command command = new("ps", "Lists the machines made with 'create', and whether they run.");
        command.SetAction(async (_, cancellationToken) =>
        {
            IReadOnlyList<MachineFolder> machines = MachineStore.ForUser().List();
            int width = machines.Select(machine => machine.Name.Length).DefaultIfEmpty().Max();
            foreach (MachineFolder machine in machines)
            {
                string state = IsRunning(machine) ? "running" : "off";
                if (state == "running" && await FindProcessAsync(machine, cancellationToken).ConfigureAwait(false) is int process)
                {
                    state = $"running, process {process}";
                }

                await output.WriteLineAsync($"{machine.Name.PadRight(width)}  {state,-StateWidth}  {machine.Path}").ConfigureAwait(false);
            }

            return (int)ExitCode.Success;
        });
        return command;
    }

    /// <summary>Creates <c>rm</c>.</summary>
    public static Command CreateRemove()
    {
        Argument<string[]> names = new("NAME") { Arity = ArgumentArity.OneOrMore, Description = "Machines to remove" };
        Command command = new("rm", "Removes machines made with 'create', with all that is on their disks.") { names };
        command.SetAction(parsed =>
        {
            MachineStore store = MachineStore.ForUser();
            List<MachineFolder> machines = [.. (parsed.GetValue(names) ?? []).Distinct().Select(name => Find(store, name))];
            if (machines.FirstOrDefault(IsRunning) is { } running)
            {
                throw new UserException(ExitCode.Failed, $"the machine {running.Name} is running; 'colinux stop {running.Name}' shuts it down");
            }

            machines.ForEach(store.Remove);
            return (int)ExitCode.Success;
        });
        return command;
    }

    /// <summary>The machine of that name.</summary>
    /// <exception cref="UserException">There is none.</exception>
    public static MachineFolder Find(MachineStore store, string name) =>
        !MachineFolder.IsName(name)
            ? throw new UserException(ExitCode.Failed, $"there is no machine '{name}', since names have letters, digits and hyphens; 'colinux ps' lists those that are there")
            : store.Get(name) is { Exists: true } machine
            ? machine
            : throw new UserException(ExitCode.Failed, $"there is no machine '{name}'; 'colinux create {name}' makes it, and 'colinux ps' lists those that are there");

    private static async Task<int?> FindProcessAsync(MachineFolder machine, CancellationToken cancellationToken)
    {
        try
        {
            if (await ControlClient.ConnectAsync(machine.ControlPath, cancellationToken).ConfigureAwait(false) is { } client)
            {
                await using (client.ConfigureAwait(false))
                {
                    return await client.IdentifyAsync(cancellationToken).ConfigureAwait(false);
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It is ending, or is somebody else's.
        }

        return null;
    }

    /// <summary>Whether a process has the machine's disk.</summary>
    public static bool IsRunning(MachineFolder machine)
    {
        try
        {
            using Disk disk = RawDisk.Open(machine.DiskPath, isReadOnly: false);
            return false;
        }
        catch (IOException)
        {
            return File.Exists(machine.DiskPath);
        }
    }
}
