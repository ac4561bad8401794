using System.Diagnostics;
using System.Globalization;

namespace CooperativeLinux.Guests.Machines;

/// <summary>The user's machines. What has its final name is complete: a machine is made under a temporary name and renamed.</summary>
public sealed class MachineStore
{
    /// <summary>The variable that names the folder for data of the user's programs.</summary>
    public const string DataVariable = "XDG_DATA_HOME";

    // Followed by the machine's name, a hyphen and the number of the process that works on it.
    private const string TemporaryPrefix = ".new-", RemovedPrefix = ".old-";

    private readonly string _root;

    /// <summary>Uses the given folder, which is created when first needed.</summary>
    public MachineStore(string root)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        _root = Path.GetFullPath(root);
    }

    /// <summary>
    /// The user's machines: <c>$XDG_DATA_HOME/colinux/machines</c>, by default <c>~/.local/share/colinux/machines</c> (on Windows
    /// <c>%LOCALAPPDATA%\colinux\machines</c>; XDG Base Directory Specification; a relative value of the variable counts as unset).
    /// </summary>
    /// <exception cref="GuestBuildException">The user has no home folder.</exception>
    public static MachineStore ForUser()
    {
        string? data = Environment.GetEnvironmentVariable(DataVariable);
        if (string.IsNullOrEmpty(data) || !Path.IsPathRooted(data))
        {
            data = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify);
        }

        return string.IsNullOrEmpty(data)
            ? throw new GuestBuildException("no folder for machines: neither XDG_DATA_HOME nor a home folder is set")
            : new MachineStore(Path.Combine(data, "colinux", "machines"));
    }

    /// <summary>The folder of a machine, whether it is there or not.</summary>
    public MachineFolder Get(string name) => new(name, Path.Combine(_root, name));

    /// <summary>The machines that are there, by name.</summary>
    public IReadOnlyList<MachineFolder> List() => !Directory.Exists(_root)
        ? []
        : [.. Directory.EnumerateDirectories(_root)
            .Select(path => Get(Path.GetFileName(path)))
            .Where(machine => MachineFolder.IsName(machine.Name) && machine.Exists)
            .OrderBy(machine => machine.Name, StringComparer.Ordinal)];

    /// <summary>Makes a folder in which a machine can be built, on the same file system as its final one.</summary>
    /// <exception cref="GuestBuildException">It cannot be made, or there is such a machine.</exception>
    public MachineFolder Begin(string name)
    {
        MachineFolder machine = Get(name);
        if (Path.Exists(machine.Path))
        {
            throw new GuestBuildException($"there is a machine {name} already, in {machine.Path}; remove it with 'colinux rm {name}'");
        }

        try
        {
            string path = Path.Combine(_root, $"{TemporaryPrefix}{name}-{Environment.ProcessId}");
            Directory.CreateDirectory(_root);
            RemoveLeftovers();
            Directory.CreateDirectory(path);
            if (!OperatingSystem.IsWindows())
            {
                // A disk holds what belongs to others in the guest, such as password hashes.
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            }

            return new MachineFolder(name, path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new GuestBuildException($"cannot make a folder for the machine in {_root}: {error.Message}", error);
        }
    }

    /// <summary>Gives a machine that was built its final place.</summary>
    /// <exception cref="GuestBuildException">Somebody else has made a machine of that name meanwhile.</exception>
    public MachineFolder Publish(MachineFolder built)
    {
        ArgumentNullException.ThrowIfNull(built);
        MachineFolder machine = Get(built.Name);
        try
        {
            Directory.Move(built.Path, machine.Path);
            return machine;
        }
        catch (IOException error)
        {
            throw new GuestBuildException($"cannot put the machine to {machine.Path}: {error.Message}", error);
        }
    }

    /// <summary>Removes a machine with its disk, or what was built of one. Renamed first, so that no half of it stays under its name.</summary>
    /// <exception cref="GuestBuildException">It cannot be removed.</exception>
    public void Remove(MachineFolder machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        try
        {
            string path = machine.Path;
            if (!Path.GetFileName(path).StartsWith('.'))
            {
                path = Path.Combine(_root, $"{RemovedPrefix}{machine.Name}-{Environment.ProcessId}");
                Directory.Move(machine.Path, path);
            }

            Directory.Delete(path, recursive: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new GuestBuildException($"cannot remove the machine {machine.Name}: {error.Message}", error);
        }
    }

    /// <summary>Removes what processes left that were killed.</summary>
    private void RemoveLeftovers()
    {
        foreach (string path in Directory.EnumerateDirectories(_root, ".*"))
        {
            string name = Path.GetFileName(path);
            bool isOurs = name.StartsWith(TemporaryPrefix, StringComparison.Ordinal) || name.StartsWith(RemovedPrefix, StringComparison.Ordinal);
            if (isOurs && int.TryParse(name[(name.LastIndexOf('-') + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int process) && !IsAlive(process))
            {
                Directory.Delete(path, recursive: true);
            }
        }

        static bool IsAlive(int process)
        {
            try
            {
                using Process found = Process.GetProcessById(process);
                return !found.HasExited;
            }
            catch (ArgumentException)
            {
                return false;
            }
        }
    }
}
