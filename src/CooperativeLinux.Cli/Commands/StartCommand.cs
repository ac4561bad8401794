using System.CommandLine;
using System.Diagnostics;
using CooperativeLinux.Guests.Machines;
using CooperativeLinux.Host.Processes;

namespace CooperativeLinux.Cli.Commands;

/// <summary>
/// <c>colinux start</c>: starts a machine in a process of its own, which goes on when this one and its terminal have gone. That
/// process runs the command <c>supervise</c>, which is for nobody else.
/// </summary>
internal static class StartCommand
{
    /// <summary>The name of the command that the other process runs.</summary>
    public const string SuperviseName = "supervise";

    /// <summary>What the other process says once the machine runs.</summary>
    public const string Running = "running";

    /// <summary>Starts this program again with a machine, and waits until that runs.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="arguments">The words after <c>start</c>.</param>
    /// <param name="error">Receives messages.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The exit code.</returns>
    public static async Task<ExitCode> StartAsync(MachineFolder machine, IEnumerable<string> arguments, TextWriter error, CancellationToken cancellationToken)
    {
        if (MachineCommands.IsRunning(machine))
        {
            throw new UserException(ExitCode.Failed, $"the machine {machine.Name} is running; 'colinux attach {machine.Name}' shows its console");
        }

        ProcessStartInfo start = new(Environment.ProcessPath!)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            CreateNoWindow = true,
        };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!).Equals("dotnet", StringComparison.OrdinalIgnoreCase))
        {
            start.ArgumentList.Add(typeof(StartCommand).Assembly.Location);
        }

        foreach (string word in arguments.Prepend(SuperviseName))
        {
            start.ArgumentList.Add(word);
        }

        HostProcess.KeepStandardStreams();
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> errors = process.StandardError.ReadToEndAsync(cancellationToken);
        try
        {
            while (await process.StandardOutput.ReadLineAsync(cancellationToken).ConfigureAwait(false) is string line)
            {
                if (line == Running)
                {
                    return ExitCode.Success;
                }
            }
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }

        await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
        await error.WriteAsync(await errors.ConfigureAwait(false)).ConfigureAwait(false);
        return process.ExitCode == 0 ? ExitCode.Failed : (ExitCode)process.ExitCode;
    }
}
