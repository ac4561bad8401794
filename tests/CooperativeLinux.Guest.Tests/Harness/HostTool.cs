using System.Diagnostics;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>Programs of the host that look at what a guest left.</summary>
internal static class HostTool
{
    /// <summary>Whether there are the tools for ext4 file systems in files.</summary>
    public static bool HasFileSystemTools => File.Exists("/usr/sbin/debugfs");

    /// <summary>Runs a program to its end.</summary>
    /// <param name="name">The program; those of the administrator are found as well.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <returns>Its exit status, and what it printed on both outputs.</returns>
    public static (int Status, string Text) Run(string name, params string[] arguments)
    {
        ProcessStartInfo start = new("/bin/sh", ["-c", "PATH=$PATH:/usr/sbin:/sbin exec \"$0\" \"$@\" 2>&1", name, .. arguments]) { RedirectStandardOutput = true };
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"no {name}");
        string text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, text);
    }

    /// <summary>The same for what must not fail.</summary>
    /// <returns>What it printed.</returns>
    public static string Do(string name, params string[] arguments)
    {
        (int status, string text) = Run(name, arguments);
        Assert.True(status == 0, $"{name} {string.Join(' ', arguments)}: {text}");
        return text;
    }
}
