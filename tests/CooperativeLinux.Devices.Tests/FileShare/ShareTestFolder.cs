using System.Diagnostics;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>A folder with a secret beside it that must not get out, and must not change.</summary>
internal sealed class ShareTestFolder : IDisposable
{
    public const string Secret = "the secret beside the share";

    private readonly string _top = Directory.CreateTempSubdirectory("colinux-share-").FullName;

    public ShareTestFolder()
    {
        Path = System.IO.Path.Combine(_top, "shared");
        Outside = System.IO.Path.Combine(_top, "outside");
        Directory.CreateDirectory(Path);
        Directory.CreateDirectory(Outside);
        File.WriteAllText(SecretPath, Secret);
    }

    public string Path { get; }

    public string Outside { get; }

    public string SecretPath => System.IO.Path.Combine(Outside, "secret");

    public string Of(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Runs a program of the host to its end.</summary>
    /// <returns>Its output.</returns>
    public static string Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return output;
    }

    /// <summary>A file's permissions on the host.</summary>
    public uint PermissionsOf(string name) => Convert.ToUInt32(Run("stat", "-c", "%a", Of(name)).Trim(), 8);

    /// <summary>That nothing beside the share was touched.</summary>
    public void AssertOutsideIsUntouched()
    {
        Assert.Equal(["secret"], Directory.EnumerateFileSystemEntries(Outside).Select(System.IO.Path.GetFileName));
        Assert.Equal(Secret, File.ReadAllText(SecretPath));
        Assert.Equal(2, Directory.EnumerateFileSystemEntries(_top).Count());
    }

    public void Dispose()
    {
        if (!OperatingSystem.IsWindows())
        {
            // Also what its owner may not enter.
            Run("rm", "-rf", _top);
            return;
        }

        foreach (FileInfo file in new DirectoryInfo(_top).EnumerateFiles("*", SearchOption.AllDirectories))
        {
            file.IsReadOnly = false;
        }

        Directory.Delete(_top, recursive: true);
    }
}
