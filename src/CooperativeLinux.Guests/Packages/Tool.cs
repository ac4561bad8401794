using System.ComponentModel;
using System.Diagnostics;

namespace CooperativeLinux.Guests.Packages;

/// <summary>Runs the host's programs (apt, dpkg, xz) and turns their failures into one-line errors.</summary>
internal static class Tool
{
    /// <summary>What a program printed, and how it ended.</summary>
    internal sealed record Result(int ExitCode, string Output, string Errors)
    {
        /// <summary>The most telling line of the error output: apt's first error, else its first warning, else the last line.</summary>
        public string Complaint
        {
            get
            {
                string[] lines = Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
                return lines.FirstOrDefault(line => line.StartsWith("E:", StringComparison.Ordinal))
                    ?? lines.FirstOrDefault(line => line.StartsWith("W:", StringComparison.Ordinal))
                    ?? lines.LastOrDefault()
                    ?? $"exit status {ExitCode}";
            }
        }
    }

    /// <summary>Runs a program to its end.</summary>
    /// <param name="program">The program, found on PATH or in the system's own folders.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="workingDirectory">Its folder, or null for the current one.</param>
    /// <param name="onLine">Called with each line of standard output.</param>
    /// <param name="cancellationToken">Ends the program.</param>
    /// <exception cref="GuestBuildException">The program cannot be started.</exception>
    public static async Task<Result> RunAsync(
        string program,
        IEnumerable<string> arguments,
        string? workingDirectory = null,
        Action<string>? onLine = null,
        CancellationToken cancellationToken = default)
    {
        using Process process = Start(program, arguments, workingDirectory);
        using CancellationTokenRegistration registration = cancellationToken.Register(() => Kill(process));
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        System.Text.StringBuilder output = new();
        while (await process.StandardOutput.ReadLineAsync(CancellationToken.None).ConfigureAwait(false) is string line)
        {
            output.Append(line).Append('\n');
            onLine?.Invoke(line);
        }

        string errorText = await errors.ConfigureAwait(false);
        await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        return new Result(process.ExitCode, output.ToString(), errorText);
    }

    /// <summary>Runs a program and hands its standard output to <paramref name="read"/> as a stream of bytes.</summary>
    /// <exception cref="GuestBuildException">The program cannot be started or fails.</exception>
    public static async Task StreamAsync(
        string program,
        IReadOnlyList<string> arguments,
        Func<Stream, Task> read,
        CancellationToken cancellationToken)
    {
        using Process process = Start(program, arguments, workingDirectory: null);
        using CancellationTokenRegistration registration = cancellationToken.Register(() => Kill(process));
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        try
        {
            await read(process.StandardOutput.BaseStream).ConfigureAwait(false);
            await process.StandardOutput.BaseStream.CopyToAsync(Stream.Null, CancellationToken.None).ConfigureAwait(false);
        }
        catch
        {
            Kill(process);
            cancellationToken.ThrowIfCancellationRequested();
            throw;
        }

        string errorText = await errors.ConfigureAwait(false);
        await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        if (process.ExitCode != 0)
        {
            Result result = new(process.ExitCode, "", errorText);
            throw new GuestBuildException($"{program} {string.Join(' ', arguments)} failed: {result.Complaint}");
        }
    }

    private static Process Start(string program, IEnumerable<string> arguments, string? workingDirectory)
    {
        ProcessStartInfo start = new(Locate(program), arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            WorkingDirectory = workingDirectory ?? "",
        };
        start.Environment["LC_ALL"] = "C.UTF-8";
        start.Environment["DEBIAN_FRONTEND"] = "noninteractive";
        start.Environment["PATH"] = string.Join(':', SearchPath());
        try
        {
            Process process = Process.Start(start)!;
            process.StandardInput.Close();
            return process;
        }
        catch (Win32Exception error)
        {
            throw new GuestBuildException(
                $"cannot run {program}; kernels and guests are built with the tools of Debian (apt, dpkg, xz-utils)",
                error);
        }
    }

    // Tools such as ldconfig live where the PATH of an ordinary user does not look.
    private static IEnumerable<string> SearchPath()
    {
        return (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Concat(["/usr/sbin", "/usr/bin", "/sbin", "/bin"]);
    }

    private static string Locate(string program)
    {
        return program.Contains('/')
            ? program
            : SearchPath().Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists) ?? program;
    }

    private static void Kill(Process process)
    {
        try
        {
            process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // It ended by itself in the meantime.
        }
    }
}
