using System.CommandLine;
using CooperativeLinux.Cli.Commands;
using CooperativeLinux.Guests.Machines;

namespace CooperativeLinux.Cli;

/// <summary>The configuration file of a machine: each line is an option of <c>colinux run</c>, as <c>name=value</c>.</summary>
internal static class MachineConfiguration
{
    private const string OverlayKey = ",overlay=";

    // Options whose values are paths, which are relative to the machine's folder.
    private static readonly string[] _paths = ["disk", "initrd", "log", "share"];

    /// <summary>Writes the configuration of a new machine.</summary>
    public static void WriteNew(MachineFolder machine, string release) => File.WriteAllText(
        machine.ConfigurationPath,
        $"""
        # The machine {machine.Name}: Debian {release}. Each line is an option of 'colinux run'; paths begin in this folder.
        # Options on the command line have precedence.
        kernel={GuestOptions.DiskKernel}
        disk={MachineFolder.DiskName}
        memory=256M..2G

        """);

    /// <summary>Reads a configuration as options of a command.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="command">The command.</param>
    /// <param name="given">What was given on its command line: options of one value among these are left out.</param>
    /// <returns>The words for the command line.</returns>
    /// <exception cref="UserException">The file cannot be read or a line is wrong.</exception>
    public static IReadOnlyList<string> Read(MachineFolder machine, Command command, ParseResult given)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(machine.ConfigurationPath);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException(ExitCode.Failed, $"cannot read the machine's configuration: {error.Message}", error);
        }

        List<string> words = [];
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].Trim();
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }

            int equals = line.IndexOf('=');
            string name = (equals < 0 ? line : line[..equals]).TrimEnd();
            string value = equals < 0 ? "" : line[(equals + 1)..].TrimStart();
            Option option = command.Options.FirstOrDefault(option => option.Name == "--" + name)
                ?? throw new UserException(ExitCode.Usage, $"{machine.ConfigurationPath}, line {i + 1}: '{name}' is no option of 'colinux {command.Name}'");
            bool isOverridden = option.Arity.MaximumNumberOfValues <= 1 && given.GetResult(option) is { Implicit: false };
            if (!isOverridden)
            {
                words.Add(equals < 0 ? option.Name : $"{option.Name}={(_paths.Contains(name) ? WithFolder(value, machine.Path) : value)}");
            }
        }

        return words;
    }

    private static string WithFolder(string value, string folder)
    {
        // A comma in a file name is written twice where commas part a value.
        string prefix = folder.Replace(",", ",,", StringComparison.Ordinal) + Path.DirectorySeparatorChar;
        int overlay = value.IndexOf(OverlayKey, StringComparison.Ordinal);
        if (overlay >= 0 && !Path.IsPathRooted(value[(overlay + OverlayKey.Length)..]))
        {
            value = value.Insert(overlay + OverlayKey.Length, prefix);
        }

        return Path.IsPathRooted(value) ? value : prefix + value;
    }
}
