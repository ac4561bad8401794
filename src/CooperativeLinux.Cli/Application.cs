using System.CommandLine;
using System.CommandLine.Parsing;
using CooperativeLinux.Cli.Commands;
using CooperativeLinux.Guests;

namespace CooperativeLinux.Cli;

/// <summary>The command line of <c>colinux</c>: parses it, runs the command and turns every outcome into an exit code.</summary>
internal sealed class Application
{
    private readonly TextWriter _output;
    private readonly TextWriter _error;
    private readonly RootCommand _root;

    /// <summary>Creates the application.</summary>
    /// <param name="output">Receives results.</param>
    /// <param name="error">Receives messages.</param>
    /// <param name="runMachine">Runs a machine from start to end.</param>
    public Application(TextWriter output, TextWriter error, Func<MachineOptions, CancellationToken, Task<MachineResult>> runMachine)
    {
        _output = output;
        _error = error;
        _root = new RootCommand("Runs a stock Debian kernel as a coroutine of an ordinary process: no root, no virtualisation.")
        {
            RunCommand.Create(error, runMachine),
            RunCommand.CreateStart(error),
            BackgroundCommands.CreateStop(error),
            BackgroundCommands.CreateAttach(error),
            BackgroundCommands.CreateExecute(),
            BackgroundCommands.CreateLogs(),
            CreateCommand.Create(output, runMachine),
            MachineCommands.CreateList(output),
            MachineCommands.CreateRemove(),
            FetchCommand.Create(output),
            ImageCommand.Create(output),
            DiskCommand.Create(output),
            ServiceCommand.Create(output),
            RunCommand.CreateSupervise(output, error),
        };
    }

    private static string FullName(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{FullName(parent)} {result.Command.Name}" : "colinux";

    /// <summary>Runs one command line.</summary>
    /// <returns>The exit code; <see cref="ExitCode.Interrupted"/> if it was cancelled.</returns>
    public async Task<ExitCode> RunAsync(string[] arguments, CancellationToken cancellationToken)
    {
        // "@file" is a guest configuration here, not a file with arguments.
        ParseResult parsed = _root.Parse(arguments.Length == 0 ? ["--help"] : arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Errors.Count > 0)
        {
            ErrorReport.Write(_error, parsed.UnmatchedTokens.Count > 0
                ? $"unknown command or option '{parsed.UnmatchedTokens[0]}'"
                : parsed.Errors[0].Message);
            _error.WriteLine($"Try '{FullName(parsed.CommandResult)} --help'.");
            return ExitCode.Usage;
        }

        try
        {
            InvocationConfiguration configuration = new()
            {
                Output = _output,
                Error = _error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            };
            return (ExitCode)await parsed.InvokeAsync(configuration, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return ExitCode.Interrupted;
        }
        catch (UserException error)
        {
            ErrorReport.Write(_error, error.Message);
            return error.Code;
        }
        catch (GuestBuildException error)
        {
            ErrorReport.Write(_error, error.Message);
            return ExitCode.Failed;
        }
        catch (MachineStartException error)
        {
            ErrorReport.Write(_error, error.Message);
            return error.Failure == MachineStartFailure.BadImage ? ExitCode.BadImage : ExitCode.Failed;
        }
        catch (Exception error)
        {
            ErrorReport.WriteInternalError(_error, error);
            return ExitCode.InternalError;
        }
    }
}
