using System.Diagnostics;
using System.Text;

namespace CooperativeLinux.Programs.Tests;

/// <summary>Child processes without input.</summary>
internal static class HostProcess
{
    /// <summary>Runs a process to its end, or ends it with its children when the time is over.</summary>
    /// <returns>The exit status, -1 when the time was over, and standard output and error together.</returns>
    public static (int Status, string Output) Run(string file, IReadOnlyList<string> arguments, TimeSpan limit)
    {
        ProcessStartInfo start = new(file, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"cannot start {file}");
        process.StandardInput.Close();
        StringBuilder output = new();
        Thread[] readers = [Read(process.StandardOutput, output), Read(process.StandardError, output)];
        bool isEnded = process.WaitForExit(limit);
        if (!isEnded)
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
        }

        foreach (Thread reader in readers)
        {
            reader.Join(TimeSpan.FromSeconds(5));
        }

        lock (output)
        {
            return (isEnded ? process.ExitCode : -1, output.ToString().Replace("\r\n", "\n", StringComparison.Ordinal));
        }
    }

    private static Thread Read(StreamReader stream, StringBuilder output)
    {
        Thread thread = new(() =>
        {
            char[] buffer = new char[4096];
            int length;
            while ((length = stream.Read(buffer)) > 0)
            {
                lock (output)
                {
                    output.Append(buffer, 0, length);
                }
            }
        })
        { IsBackground = true };
        thread.Start();
        return thread;
    }
}
