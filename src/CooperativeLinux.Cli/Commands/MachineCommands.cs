using System.CommandLine;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Guests.Machines;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux ps</c> and <c>colinux rm</c>: the machines that have names.</summary>
internal static class MachineCommands
{
    /// <summary>Creates <c>ps</c>.</summary>
    /// <param name="output">Receives the list.</param>
    public static Command CreateList(TextWriter output)
    {
        Command command = new("ps", "Lists the machines made with 'create', and whether they run.");
        command.SetAction(_ =>
        {
            IReadOnlyList<MachineFolder> machines = MachineStore.ForUser().List();
            int width = machines.Select(machine => machine.Name.Length).DefaultIfEmpty().Max();
            foreach (MachineFolder machine in machines)
            {
                output.WriteLine($"{machine.Name.PadRight(width)}  {(IsRunning(machine) ? "running" : "off    ")}  {machine.Path}");
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
                throw new UserException(ExitCode.Failed, $"the machine {running.Name} is running; shut it down first");
            }

            machines.ForEach(store.Remove);
            return (int)ExitCode.Success;
        });
        return command;
    }

    /// <summary>The machine of that name.</summary>
    /// <exception cref="UserException">There is none.</exception>
    public static MachineFolder Find(MachineStore store, string name) =>
        MachineFolder.IsName(name) && store.Get(name) is { Exists: true } machine
            ? machine
            : throw new UserException(ExitCode.Failed, $"there is no machine '{name}'; 'colinux create {name}' makes it, and 'colinux ps' lists those that are there");

    private static bool IsRunning(MachineFolder machine)
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
