using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using CooperativeLinux.Devices.Block.Storage;

namespace CooperativeLinux.Cli.Tests;

/// <summary>Files of every kind for command lines, in a folder of their own, and a machine <c>deb</c> that is off.</summary>
public sealed class CommandLineFiles : IDisposable
{
    private const string DataVariable = "XDG_DATA_HOME", CacheVariable = "XDG_CACHE_HOME";
    private const int DiskSize = 64 << 10;

    private readonly string _top = Directory.CreateTempSubdirectory("colinux-test-").FullName;
    private readonly string? _dataBefore = Environment.GetEnvironmentVariable(DataVariable);
    private readonly string? _cacheBefore = Environment.GetEnvironmentVariable(CacheVariable);
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public CommandLineFiles()
    {
        Environment.SetEnvironmentVariable(DataVariable, _top);
        Environment.SetEnvironmentVariable(CacheVariable, _top);
        string machine = Directory.CreateDirectory(Path.Combine(_top, "colinux", "machines", "deb")).FullName;
        File.WriteAllText(Path.Combine(machine, "machine.conf"), "kernel=disk\ndisk=disk.img\n");
        File.WriteAllBytes(Path.Combine(machine, "disk.img"), new byte[4096]);

        Directory.CreateDirectory(PathOf("folder"));
        File.WriteAllText(PathOf("empty"), "");
        File.WriteAllText(PathOf("text"), "text\n");
        File.WriteAllText(PathOf("unreadable"), "text\n");
        File.WriteAllBytes(PathOf("disk"), new byte[DiskSize]);
        File.WriteAllBytes(PathOf("other"), [.. Enumerable.Repeat((byte)1, DiskSize)]);
        OverlayImage.Create(PathOf("overlay"), PathOf("disk"), null);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(PathOf("unreadable"), UnixFileMode.None);
            using Process mkfifo = Process.Start("mkfifo", [PathOf("pipe")]);
            mkfifo.WaitForExit();
        }

        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
    }

    /// <summary>Whether a value can be tried here. What root cannot read does not exist, and Windows has no pipes with names of files.</summary>
    public static bool CanTry(string value) =>
        !(value.Contains("{unreadable}", StringComparison.Ordinal) && Environment.IsPrivilegedProcess)
        && !(OperatingSystem.IsWindows() && (value.Contains("{pipe}", StringComparison.Ordinal) || value.Contains("/dev/", StringComparison.Ordinal)));

    /// <summary>Puts in paths for the names in braces, and the number of a port that is taken for <c>{port}</c>.</summary>
    public string Fill(string text)
    {
        string result = text.Replace("{port}", ((IPEndPoint)_listener.LocalEndPoint!).Port.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);
        foreach (string name in (string[])["missing", "folder", "empty", "text", "unreadable", "disk", "other", "overlay", "pipe"])
        {
            result = result.Replace($"{{{name}}}", PathOf(name), StringComparison.Ordinal);
        }

        return result;
    }

    /// <summary>All that is there, with sizes and hashes: a change is one of these lines.</summary>
    public string Describe() => string.Join('\n', Directory.EnumerateFileSystemEntries(_top, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(path =>
        File.Exists(path) && !path.EndsWith("pipe", StringComparison.Ordinal) && !(path.EndsWith("unreadable", StringComparison.Ordinal) && !Environment.IsPrivilegedProcess)
            ? $"{path} {Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(path)))}"
            : path));

    public void Dispose()
    {
        _listener.Dispose();
        Environment.SetEnvironmentVariable(DataVariable, _dataBefore);
        Environment.SetEnvironmentVariable(CacheVariable, _cacheBefore);
        Directory.Delete(_top, recursive: true);
    }

    private string PathOf(string name) => Path.Combine(_top, name);
}
