namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>A machine that has a name, with the default guest: there as soon as a Debian would be looked for.</summary>
internal sealed class SmallMachine : IDisposable
{
    private const string DataVariable = "XDG_DATA_HOME";

    private readonly string _data = Directory.CreateTempSubdirectory("colinux-machines-").FullName;
    private readonly bool _isOnWindows;

    /// <param name="configuration">The text of its <c>machine.conf</c>.</param>
    /// <param name="isOnWindows">Whether it is for the command's Windows build.</param>
    public SmallMachine(string configuration = "kernel=6.1-generic\ndisk=disk.img\nmemory=256M\n", bool isOnWindows = false)
    {
        _isOnWindows = isOnWindows;
        Environment.SetEnvironmentVariable(DataVariable, isOnWindows ? Colinux.WinePath(_data) : _data);
        Folder = Directory.CreateDirectory(Path.Combine(_data, "colinux", "machines", Name)).FullName;
        using (FileStream disk = File.Create(Path.Combine(Folder, "disk.img")))
        {
            disk.SetLength(4 << 20);
        }

        File.WriteAllText(Path.Combine(Folder, "machine.conf"), configuration);
    }

    public static string Name => "small";

    /// <summary>The machine's folder.</summary>
    public string Folder { get; }

    /// <summary>Switches it off if it runs, and removes it.</summary>
    public void Dispose()
    {
        string[] stop = ["stop", Name, "--force"];
        _ = _isOnWindows ? Colinux.RunWindows(stop) : Colinux.Run(stop);
        Environment.SetEnvironmentVariable(DataVariable, null);
        Directory.Delete(_data, recursive: true);
    }
}
