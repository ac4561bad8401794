using System.Diagnostics;
using CooperativeLinux.Devices.Block.Storage;

namespace CooperativeLinux.Tests.Boot;

/// <summary>An ext4 file system in a file, made by Debian's own tools (e2fsprogs).</summary>
internal sealed class Ext4Image : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-ext4-").FullName;

    /// <param name="populate">Puts files into the folder that becomes the file system.</param>
    /// <param name="options">More options of mke2fs.</param>
    public Ext4Image(Action<string> populate, params string[] options)
    {
        string content = Directory.CreateDirectory(System.IO.Path.Combine(_folder, "content")).FullName;
        populate(content);
        Tool("mke2fs", "", ["-q", "-F", "-t", "ext4", .. options, "-d", content, Path, "24M"]);
    }

    public string Path => System.IO.Path.Combine(_folder, "image");

    public static bool IsPossible => OperatingSystem.IsLinux() && File.Exists("/usr/sbin/mke2fs") && File.Exists("/usr/sbin/debugfs");

    public Disk Open() => RawDisk.Open(Path, isReadOnly: true);

    /// <summary>Runs commands of debugfs, which can write a journal without replaying it.</summary>
    public string Debug(string commands) => Tool("debugfs", commands, ["-w", "-f", "-", Path]);

    /// <summary>The number of the first block of a file.</summary>
    public string BlockOf(string file) =>
        Tool("debugfs", "", ["-R", $"blocks {file}", Path]).Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[0];

    /// <summary>A file with the given content and the length of a block.</summary>
    public string BlockFile(ReadOnlySpan<byte> content)
    {
        const int BlockSize = 1024;
        string path = System.IO.Path.Combine(_folder, Guid.NewGuid().ToString("N"));
        byte[] block = new byte[BlockSize];
        content.CopyTo(block);
        File.WriteAllBytes(path, block);
        return path;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string Tool(string name, string input, string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("/usr/sbin/" + name, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, errors.Result);
        return output;
    }
}
