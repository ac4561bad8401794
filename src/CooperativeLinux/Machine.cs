using CooperativeLinux.Configuration;
using CooperativeLinux.Boot;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Host;
using CooperativeLinux.Host.Terminals;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Monitor.Machine;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux;

/// <summary>A guest: a stock kernel running inside this process.</summary>
public static partial class Machine
{
    private const int VcpuStackSize = 16 << 20;

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
        if (HostRequirements.Check() is string missing)
        {
            throw new MachineStartException(MachineStartFailure.Host, missing.TrimEnd('.'));
        }

        using MachineDisks disks = new(options.Disks);
        using MachineNetwork network = MachineNetwork.Open(options);
        using MachineControl control = new(options.StopTimeout);
        using MachineTerminal terminal = new(
            options.Output is { } output ? new StreamTerminal(output) : Terminal.Open(), options.LogPath, control, options.Loggers.CreateLogger("console"));
        control.Notice = terminal.ShowNotice;
        using CancellationTokenRegistration stop = cancellationToken.Register(() =>
        {
            terminal.ShowOnTerminal("shutting down; once more ends it at once");
            control.End();
        });
        while (true)
        {
            DomainOutcome outcome;
            using (MachineRun run = Start(options, disks, network, terminal))
            {
                terminal.Connect(run.Console);
                control.Connect(run);

                // The unpacked kernel is in guest memory now; its copy, some 60 MB, goes back to the host.
                GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                outcome = await RunOnThread(run).ConfigureAwait(false);
                control.Disconnect();
                if (options.Trace.HasFlag(TraceSubjects.Statistics))
                {
                    WriteStatistics(run);
                }
            }

            if (!control.IsEnding && (outcome.Kind == DomainOutcomeKind.Reboot || PanicPolicy.AsksForRestart(options.CommandLine, outcome)))
            {
                if (outcome.Panic is string panic)
                {
                    LogPanic(options.Loggers.CreateLogger("machine"), panic);
                }

                continue;
            }

            if (outcome.Panic is null && outcome.Kind is not (DomainOutcomeKind.Crash or DomainOutcomeKind.Watchdog))
            {
                cancellationToken.ThrowIfCancellationRequested();
            }

            return outcome.Kind switch
            {
                DomainOutcomeKind.PowerOff or DomainOutcomeKind.Stopped or DomainOutcomeKind.Suspend or DomainOutcomeKind.Reboot => new MachineResult(MachineEnd.PowerOff),
                _ when outcome.Panic != null => new MachineResult(MachineEnd.Panic, outcome.Panic),
                _ => new MachineResult(MachineEnd.Crash, outcome.Reason) { Details = outcome.Registers?.ToString() },
            };
        }
    }

    private static MachineRun Start(MachineOptions options, MachineDisks disks, MachineNetwork network, IConsoleSink sink)
    {
        try
        {
            using BootImages images = BootImages.Load(options, disks.First);
            Action<string>? trace = options.Trace.HasFlag(TraceSubjects.Hypercalls) ? Console.Error.WriteLine : null;
            return new MachineRun(options, disks, network, images.Kernel, images.Initrd, sink, trace);
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
            string size = MemorySize.Format(options.MemoryBytes);
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
                Console.Error.WriteLine($"{property.Name,-24} {property.GetValue(run.Domain.Statistics()),14}");
            }
        }

        foreach ((string name, long count) in run.Domain.Statistics().Undefined)
        {
            Console.Error.WriteLine($"undefined {name,-14} {count,14}");
        }

        foreach ((string name, long count) in run.Domain.InstructionCounts())
        {
            Console.Error.WriteLine($"instruction {name,-22} {count,10}");
        }

        foreach ((string name, long count) in run.Domain.HypercallCounts())
        {
            Console.Error.WriteLine($"hypercall {name,-24} {count,10}");
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "the guest's kernel panicked and starts again: {Panic}")]
    private static partial void LogPanic(ILogger logger, string panic);
}
