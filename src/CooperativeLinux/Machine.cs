using System.Text;
using CooperativeLinux.Boot;
using CooperativeLinux.Commands;
using CooperativeLinux.Configuration;
using CooperativeLinux.Control;
using CooperativeLinux.Host;
using CooperativeLinux.Host.Terminals;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Monitor.Machine;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux;

/// <summary>A guest: a stock kernel running inside this process, from its start to its end, over all restarts.</summary>
public sealed partial class Machine : IAsyncDisposable
{
    private const int VcpuStackSize = 16 << 20;

    private readonly MachineOptions _options;
    private readonly MachineDisks? _disks;
    private readonly MachineNetwork? _network;
    private readonly ConsoleLog? _log;
    private readonly MachineControl _control;
    private readonly CommandChannel? _commands;
    private readonly ControlServer? _server;
    private Task<MachineResult> _completion = Task.FromException<MachineResult>(new InvalidOperationException("The machine was not started."));

    private Machine(MachineOptions options)
    {
        if (HostRequirements.Check() is string missing)
        {
            throw new MachineStartException(MachineStartFailure.Host, missing.TrimEnd('.'));
        }

        _options = options;
        _control = new MachineControl(options.StopTimeout);
        _commands = options.TakesCommands ? new CommandChannel() : null;
        try
        {
            _disks = new MachineDisks(options.Disks);
            _network = MachineNetwork.Open(options);
            _log = options.LogPath is string log ? new ConsoleLog(log, options.Loggers.CreateLogger("console")) : null;
            _server = options.ControlPath is string path ? new ControlServer(path, this, _control) : null;
        }
        catch
        {
            Release();
            throw;
        }

        if (_log is not null)
        {
            Console.Attach(_log);
        }
    }

    /// <summary>The guest's console.</summary>
    public MachineConsole Console { get; } = new();

    /// <summary>Completes when the machine has ended: when its guest has switched itself off, panicked, crashed, or was ended from here.</summary>
    public Task<MachineResult> Completion => _completion;

    /// <summary>Starts a machine. Its console is on no terminal: see <see cref="Console"/>.</summary>
    /// <param name="options">What the machine is made of.</param>
    /// <param name="cancellationToken">Gives up the start.</param>
    /// <returns>The machine, whose kernel begins to boot; disposing it switches it off.</returns>
    /// <exception cref="MachineStartException">It could not be started.</exception>
    public static async Task<Machine> StartAsync(MachineOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        Machine machine = await Task.Run(() => new Machine(options), cancellationToken).ConfigureAwait(false);
        try
        {
            if (options.Output is Stream output)
            {
                machine.Console.Attach(new StreamTerminal(output));
            }

            await Task.Run(() => machine.Launch(), cancellationToken).ConfigureAwait(false);
            return machine;
        }
        catch
        {
            await machine.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Runs a machine from start to end, with its console on standard input and output.</summary>
    /// <param name="options">What the machine is made of.</param>
    /// <param name="cancellationToken">Asks the guest to shut down; after <see cref="MachineOptions.StopTimeout"/> it is
    /// switched off.</param>
    /// <exception cref="OperationCanceledException">It was cancelled, and has ended in order or was switched off.</exception>
    /// <exception cref="MachineStartException">It could not be started.</exception>
    public static async Task<MachineResult> RunAsync(MachineOptions options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);
        cancellationToken.ThrowIfCancellationRequested();
        Machine machine = new(options);
        await using (machine.ConfigureAwait(false))
        {
            using MachineTerminal terminal = new(options.Output is { } output ? new StreamTerminal(output) : Terminal.Open(), machine.Console, machine._control);
            machine._control.Notice += terminal.ShowNotice;
            using CancellationTokenRegistration stop = cancellationToken.Register(() =>
            {
                terminal.ShowOnTerminal("shutting down; once more ends it at once");
                machine._control.End();
            });
            machine.Launch(terminal.Start);
            MachineResult result = await machine.Completion.ConfigureAwait(false);
            if (result.End == MachineEnd.PowerOff)
            {
                cancellationToken.ThrowIfCancellationRequested();
            }

            return result;
        }
    }

    /// <summary>Runs a program in the guest, as its root, and waits for its end. One at a time; further ones wait.</summary>
    /// <param name="program">Its name, looked up in the guest's PATH, or its path.</param>
    /// <param name="arguments">Its arguments, passed as they are.</param>
    /// <exception cref="TimeoutException">The guest takes no commands: it has no agent, or takes more than two minutes to boot.</exception>
    /// <exception cref="IOException">The guest restarted or ended meanwhile.</exception>
    public Task<CommandResult> RunAsync(string program, params string[] arguments) => RunAsync(new GuestCommand(program, arguments));

    /// <summary>Runs a command in the guest, as its root, and waits for its end. One at a time; further ones wait.</summary>
    /// <param name="command">The command.</param>
    /// <param name="cancellationToken">Kills the command, with what it has started in its session.</param>
    /// <exception cref="TimeoutException">The guest takes no commands: it has no agent, or takes longer than <see cref="GuestCommand.Patience"/> to boot.</exception>
    /// <exception cref="IOException">The guest restarted or ended meanwhile.</exception>
    public async Task<CommandResult> RunAsync(GuestCommand command, CancellationToken cancellationToken = default)
    {
        using MemoryStream output = new();
        using MemoryStream errors = new();
        int exitCode = await RunAsync(command, output, errors, cancellationToken).ConfigureAwait(false);
        return new CommandResult(exitCode, Text(output), Text(errors));

        static string Text(MemoryStream stream) => Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }

    /// <summary>Runs a command in the guest, as its root, and passes on what it says while it runs.</summary>
    /// <param name="command">The command.</param>
    /// <param name="output">Receives its standard output.</param>
    /// <param name="errors">Receives its standard error; may be the same.</param>
    /// <param name="cancellationToken">Kills the command, with what it has started in its session.</param>
    /// <returns>Its exit status.</returns>
    /// <exception cref="TimeoutException">The guest takes no commands: it has no agent, or takes longer than <see cref="GuestCommand.Patience"/> to boot.</exception>
    /// <exception cref="IOException">The guest restarted or ended meanwhile, or more than 64 MiB of output were waiting to be taken.</exception>
    public Task<int> RunAsync(GuestCommand command, Stream output, Stream errors, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(errors);
        return _commands is { } commands
            ? commands.ExecuteAsync(command, (isError, bytes) => (isError ? errors : output).WriteAsync(bytes, cancellationToken), cancellationToken)
            : throw new InvalidOperationException($"The machine was started without {nameof(MachineOptions.TakesCommands)}.");
    }

    /// <summary>Asks the guest to shut down, and waits until the machine has ended; after <see cref="MachineOptions.StopTimeout"/> it is
    /// switched off. A guest whose kernel does not follow such requests (yet) is switched off at once.</summary>
    /// <param name="cancellationToken">Ends the waiting, not the shutdown.</param>
    public Task<MachineResult> ShutDownAsync(CancellationToken cancellationToken = default)
    {
        _control.End();
        return Completion.WaitAsync(cancellationToken);
    }

    /// <summary>Switches the machine off at once, and waits until it has ended. What the guest was told is written, is written.</summary>
    public Task<MachineResult> KillAsync()
    {
        _control.Quit();
        return Completion;
    }

    /// <summary>Switches the machine off, if it has not ended, and gives back what it holds.</summary>
    public async ValueTask DisposeAsync()
    {
        _control.Quit();
        await ((Task)Completion).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_server is not null)
        {
            await _server.DisposeAsync().ConfigureAwait(false);
        }

        Release();
    }

    private void Release()
    {
        _control.Dispose();
        _log?.Dispose();
        _network?.Dispose();
        _disks?.Dispose();
    }

    /// <param name="onReady">Called when all that is needed is there, before the guest runs.</param>
    private void Launch(Action? onReady = null)
    {
        MachineRun run = Prepare();
        onReady?.Invoke();
        _completion = RunToEndAsync(run);
        _server?.Start();
    }

    private async Task<MachineResult> RunToEndAsync(MachineRun run)
    {
        using IdleMemoryTrimmer trimmer = new();
        try
        {
            while (true)
            {
                DomainOutcome outcome = await RunOnceAsync(run).ConfigureAwait(false);
                if (_control.IsEnding || !(outcome.Kind == DomainOutcomeKind.Reboot || PanicPolicy.AsksForRestart(_options.CommandLine, outcome)))
                {
                    return ResultOf(outcome);
                }

                if (outcome.Panic is string panic)
                {
                    LogPanic(_options.Loggers.CreateLogger("machine"), panic);
                }

                run = Prepare();
            }
        }
        finally
        {
            _commands?.Close();
            Console.Close();
        }
    }

    private async Task<DomainOutcome> RunOnceAsync(MachineRun run)
    {
        using (run)
        {
            Console.Connect(run.Console);
            _control.Connect(run);

            // The unpacked kernel is in guest memory now; its copy, some 60 MB, goes back to the host.
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            DomainOutcome outcome = await RunOnThread(run).ConfigureAwait(false);
            _control.Disconnect();
            if (_options.Trace.HasFlag(TraceSubjects.Statistics))
            {
                WriteStatistics(run);
            }

            return outcome;
        }
    }

    private static MachineResult ResultOf(DomainOutcome outcome) => outcome.Kind switch
    {
        DomainOutcomeKind.PowerOff or DomainOutcomeKind.Stopped or DomainOutcomeKind.Suspend or DomainOutcomeKind.Reboot => new MachineResult(MachineEnd.PowerOff),
        _ when outcome.Panic != null => new MachineResult(MachineEnd.Panic, outcome.Panic),
        _ => new MachineResult(MachineEnd.Crash, outcome.Reason) { Details = outcome.Registers?.ToString() },
    };

    /// <summary>Makes a domain with everything in it, ready to run.</summary>
    private MachineRun Prepare()
    {
        try
        {
            using BootImages images = BootImages.Load(_options, _disks!.First);
            Action<string>? trace = _options.Trace.HasFlag(TraceSubjects.Hypercalls) ? System.Console.Error.WriteLine : null;
            return new MachineRun(_options, _disks, _network!, _commands, images.Kernel, images.Initrd, Console, trace);
        }
        catch (InvalidImageException error)
        {
            throw new MachineStartException(MachineStartFailure.BadImage, error.Message, error);
        }
        catch (DomainBuildException error)
        {
            throw new MachineStartException(MachineStartFailure.BadImage, error.Message, error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new MachineStartException(MachineStartFailure.BadImage, error.Message, error);
        }
        catch (OutOfMemoryException error)
        {
            string size = MemorySize.Format(_options.MemoryBytes);
            throw new MachineStartException(
                MachineStartFailure.Host, $"the host does not give {size} for the guest's memory ({error.Message.TrimEnd('.')}); ask for less with --memory", error);
        }
    }

    private static Task<DomainOutcome> RunOnThread(MachineRun run)
    {
        TaskCompletionSource<DomainOutcome> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Thread thread = new(
            () =>
            {
                try
                {
                    done.SetResult(run.Run());
                }
                catch (Exception failure)
                {
                    done.SetException(failure);
                }
            },
            VcpuStackSize)
        { Name = "vCPU 0" };
        thread.Start();
        return done.Task;
    }

    private static void WriteStatistics(MachineRun run)
    {
        foreach (System.Reflection.PropertyInfo property in typeof(Processor.Execution.ProcessorStatistics).GetProperties())
        {
            if (property.PropertyType == typeof(long))
            {
                System.Console.Error.WriteLine($"{property.Name,-24} {property.GetValue(run.Domain.Statistics()),14}");
            }
        }

        foreach ((string name, long count) in run.Domain.Statistics().Undefined)
        {
            System.Console.Error.WriteLine($"undefined {name,-14} {count,14}");
        }

        foreach ((string name, long count) in run.Domain.InstructionCounts())
        {
            System.Console.Error.WriteLine($"instruction {name,-22} {count,10}");
        }

        foreach ((string name, long count) in run.Domain.HypercallCounts())
        {
            System.Console.Error.WriteLine($"hypercall {name,-24} {count,10}");
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "the guest's kernel panicked and starts again: {Panic}")]
    private static partial void LogPanic(ILogger logger, string panic);
}
