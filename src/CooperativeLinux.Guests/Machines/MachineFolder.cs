namespace CooperativeLinux.Guests.Machines;

/// <summary>A machine that has a name: a folder with its disk and its configuration.</summary>
/// <param name="Name">The name.</param>
/// <param name="Path">The folder.</param>
public sealed record MachineFolder(string Name, string Path)
{
    /// <summary>The longest name, in characters: it is the guest's host name too.</summary>
    public const int MaxNameLength = 63;

    /// <summary>The machine's configuration: lines of <c>option=value</c>.</summary>
    public string ConfigurationPath => System.IO.Path.Combine(Path, "machine.conf");

    /// <summary>The machine's disk.</summary>
    public string DiskPath => System.IO.Path.Combine(Path, DiskName);

    /// <summary>Where a running machine is controlled.</summary>
    public string ControlPath => System.IO.Path.Combine(Path, "control");

    /// <summary>What a machine in the background writes to its console.</summary>
    public string ConsoleLogPath => System.IO.Path.Combine(Path, "console.log");

    /// <summary>Name of the disk in the folder.</summary>
    public static string DiskName => "disk.img";

    /// <summary>Whether the machine is there, complete.</summary>
    public bool Exists => File.Exists(ConfigurationPath);

    /// <summary>Whether a text can be the name of a machine: letters, digits, and hyphens within.</summary>
    public static bool IsName(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.Length is > 0 and <= MaxNameLength
            && text.All(c => char.IsAsciiLetterOrDigit(c) || c == '-')
            && text[0] != '-'
            && text[^1] != '-';
    }
}
