using System.CommandLine;
using CooperativeLinux.Configuration;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux run</c>: starts a guest in the foreground, with its console on the terminal.</summary>
internal sealed class RunCommand
{
    private readonly TextWriter _error;
    private readonly Func<MachineOptions, CancellationToken, Task<MachineResult>> _runMachine;

    private readonly Option<string?> _kernel = new("--kernel", "-k")
    {
        HelpName = "FILE|SERIES",
        Description = $"A kernel file (vmlinuz), or a Debian kernel to fetch: {string.Join(", ", KernelFlavour.Tested)} [default: {GuestOptions.DefaultFlavour}]",
    };

    private readonly Option<string[]> _initrd = new("--initrd", "-i")
    {
        HelpName = "FILE",
        Description = "An initramfs (cpio archive); may be given several times, the archives are joined [default: a small guest with a shell, or none if --kernel names a file]",
    };

    private readonly Option<string[]> _append = new("--append", "-a")
    {
        HelpName = "TEXT",
        Description = "Text for the kernel's command line; may be given several times",
    };

    private readonly Option<bool> _noDefaultAppend = new("--no-default-append")
    {
        Description = $"Leave out what the kernel's command line starts with otherwise: {KernelCommandLine.Defaults} and the TERM of the terminal",
    };

    private readonly Option<long?> _memory = new("--memory", "-m")
    {
        HelpName = "SIZE",
        Description = $"The guest's memory, such as 512M or 2G; a plain number means MiB [default: {MemorySize.Format(MemorySize.Default)}]",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (!MemorySize.TryParse(text, out long bytes, out string reason))
            {
                result.AddError($"--memory {text}: {reason}.");
            }

            return bytes;
        },
    };

    private readonly Option<DiskOption[]> _disk = new("--disk", "-d")
    {
        HelpName = DiskOption.Syntax,
        AllowMultipleArgumentsPerToken = false,
        Arity = ArgumentArity.OneOrMore,
        Description = "A disk: a raw file or block device, as /dev/xvda and so on; may be given several times. ro: not to be written; overlay: what the guest writes goes to that file (made if it is not there)",
        CustomParser = result =>
        {
            List<DiskOption> disks = [];
            foreach (string text in result.Tokens.Select(token => token.Value))
            {
                if (!DiskOption.TryParse(text, out DiskOption disk, out string reason))
                {
                    result.AddError($"--disk {text}: {reason}.");
                    return [];
                }

                disks.Add(disk);
            }

            if (!DiskOption.TryAssignNames(disks, out _, out string error))
            {
                result.AddError($"--disk: {error}.");
            }

            return [.. disks];
        },
    };

    private readonly Option<string?> _log = new("--log")
    {
        HelpName = "FILE",
        Description = "Write what the guest shows on its console to this file as well",
    };

    private readonly Option<TraceSubjects> _trace = new("--trace")
    {
        HelpName = "WHAT",
        AllowMultipleArgumentsPerToken = false,
        Arity = ArgumentArity.OneOrMore,
        Description = $"Tell on standard error what happens inside, for finding faults; a list of: {string.Join(", ", TraceNames())}",
        CustomParser = result =>
        {
            TraceSubjects subjects = TraceSubjects.None;
            foreach (string name in result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.TrimEntries)))
            {
                if (!TraceNames().Contains(name, StringComparer.OrdinalIgnoreCase))
                {
                    result.AddError($"--trace: '{name}' is none of {string.Join(", ", TraceNames())}.");
                    break;
                }

                subjects |= Enum.Parse<TraceSubjects>(name, ignoreCase: true);
            }

            return subjects;
        },
    };

    private readonly Option<bool> _verify = new("--verify")
    {
        Description = "Check all code made for the guest with an independent verifier before it runs, and stop if it could leave the guest's memory (slower)",
    };

    private readonly NetworkOptions _network = new();

    private readonly Option<string?> _mirror = GuestOptions.CreateMirror();

    private RunCommand(TextWriter error, Func<MachineOptions, CancellationToken, Task<MachineResult>> runMachine)
    {
        _error = error;
        _runMachine = runMachine;
    }

    /// <summary>Creates the command.</summary>
    /// <param name="error">Receives messages.</param>
    /// <param name="runMachine">Runs a machine from start to end.</param>
    public static Command Create(TextWriter error, Func<MachineOptions, CancellationToken, Task<MachineResult>> runMachine)
    {
        RunCommand run = new(error, runMachine);
        Command command = new("run", "Starts a guest in the foreground, with its console on the terminal (Ctrl-] ? for help, Ctrl-] q to end it). Without options: Debian's kernel with a small guest.")
        {
            run._kernel,
            run._initrd,
            run._append,
            run._noDefaultAppend,
            run._memory,
            run._disk,
            run._log,
            run._trace,
            run._verify,
            run._mirror,
        };
        run._network.AddTo(command);
        command.SetAction(run.RunAsync);
        return command;
    }

    private static IEnumerable<string> TraceNames()
    {
        return Enum.GetNames<TraceSubjects>().Where(name => name != nameof(TraceSubjects.None)).Select(name => name.ToLowerInvariant());
    }

    private static void CheckReadable(string path, string what)
    {
        try
        {
            if (Directory.Exists(path))
            {
                throw new UserException(ExitCode.BadImage, $"the {what} {path} is a folder");
            }

            using FileStream stream = File.OpenRead(path);
            if (!stream.CanSeek)
            {
                throw new UserException(ExitCode.BadImage, $"the {what} {path} is a pipe; it must be a file");
            }

            if (stream.Length == 0)
            {
                throw new UserException(ExitCode.BadImage, $"the {what} {path} is empty");
            }
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UserException(ExitCode.BadImage, $"the {what} {path} does not exist", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UserException(ExitCode.BadImage, $"cannot read the {what} {path}: {error.Message}", error);
        }
    }

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        MachineOptions options = await CreateOptionsAsync(parsed, cancellationToken).ConfigureAwait(false);

        // The one place where the command meets the machine. The console belongs to the machine from here on.
        MachineResult result = await _runMachine(options, cancellationToken).ConfigureAwait(false);
        return (int)Report(result);
    }

    private ExitCode Report(MachineResult result)
    {
        switch (result.End)
        {
            case MachineEnd.Panic:
                ErrorReport.Write(_error, $"the guest's kernel panicked: {result.Reason ?? "no reason given"}");
                return ExitCode.GuestPanic;
            case MachineEnd.Crash:
                ErrorReport.Write(_error, $"the guest crashed: {result.Reason ?? "no reason given"}");
                if (result.Details is string details)
                {
                    _error.WriteLine(details);
                }

                return ExitCode.GuestCrash;
            default:
                return ExitCode.Success;
        }
    }

    private async Task<MachineOptions> CreateOptionsAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        string kernelText = parsed.GetValue(_kernel) ?? GuestOptions.DefaultFlavour.Name;
        string[] initrds = parsed.GetValue(_initrd) ?? [];
        foreach (string initrd in initrds)
        {
            CheckReadable(initrd, "initramfs");
        }

        string kernelPath;
        IReadOnlyList<string> initrdPaths = initrds;
        if (File.Exists(kernelText) || !KernelFlavour.TryParse(kernelText, out KernelFlavour flavour))
        {
            CheckReadable(kernelText, "kernel");
            kernelPath = Path.GetFullPath(kernelText);
        }
        else
        {
            GuestCache cache = GuestCache.ForUser();
            AptSourceChoice sources = AptSourceChoice.OfMirror(parsed.GetValue(_mirror));
            using GuestProgressLine? progress = GuestProgressLine.ForStandardError();
            Kernel kernel = await new KernelStore(cache, sources).GetAsync(flavour, progress, cancellationToken).ConfigureAwait(false);
            kernelPath = kernel.VmlinuzPath;
            if (initrds.Length == 0)
            {
                initrdPaths = await new DefaultGuest(cache, sources).GetInitrdsAsync(kernel, progress, cancellationToken).ConfigureAwait(false);
            }
        }

        return new MachineOptions
        {
            KernelPath = kernelPath,
            InitrdPaths = [.. initrdPaths.Select(Path.GetFullPath)],
            CommandLine = KernelCommandLine.Create(
                !parsed.GetValue(_noDefaultAppend), Environment.GetEnvironmentVariable("TERM"), parsed.GetValue(_append) ?? []),
            MemoryBytes = parsed.GetValue(_memory) ?? MemorySize.Default,
            Disks = [.. (parsed.GetValue(_disk) ?? []).Select(disk => disk.WithFullPaths(Environment.CurrentDirectory))],
            LogPath = parsed.GetValue(_log) is string log ? Path.GetFullPath(log) : null,
            Trace = parsed.GetValue(_trace),
            Network = _network.Read(parsed),
            Loggers = WarningLoggers.For(_error),
            Processor = new ProcessorOptions { Verify = parsed.GetValue(_verify) },
        };
    }
}
