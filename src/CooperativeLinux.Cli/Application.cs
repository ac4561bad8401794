using System.CommandLine;
using System.CommandLine.Help;
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
        LetFlagsTakeNoValue(_root);
    }

    /// <summary>All commands with their options.</summary>
    public Command Root => _root;

    /// <summary>Runs one command line.</summary>
    /// <returns>The exit code; <see cref="ExitCode.Interrupted"/> if it was cancelled.</returns>
    public async Task<ExitCode> RunAsync(string[] arguments, CancellationToken cancellationToken)
    {
        // "@file" is a guest configuration here, not a file with arguments.
        ParseResult parsed = _root.Parse(arguments.Length == 0 ? ["--help"] : arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Action is not HelpAction && UsageErrors.Find(parsed, arguments) is string wrong)
        {
            return Refuse(wrong, parsed);
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
            if (error.Code == ExitCode.Usage)
            {
                return Refuse(error.Message, parsed);
            }

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

    // Or they take a word "true" or "false" that follows for their own.
    private static void LetFlagsTakeNoValue(Command command)
    {
        foreach (Option option in command.Options.Where(option => option.ValueType == typeof(bool)))
        {
            option.Arity = ArgumentArity.Zero;
        }

        foreach (Command part in command.Subcommands)
        {
            LetFlagsTakeNoValue(part);
        }
    }

    private ExitCode Refuse(string reason, ParseResult parsed)
    {
        ErrorReport.Write(_error, reason);
        _error.WriteLine($"Try '{UsageErrors.NameOf(parsed.CommandResult)} --help'.");
        return ExitCode.Usage;
    }
}
