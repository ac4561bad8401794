using System.CommandLine;
using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Machines;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;
using CooperativeLinux.Host.Disks;
using CooperativeLinux.Host.Processes;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux run</c>: starts a guest in the foreground, with its console on the terminal.</summary>
internal sealed class RunCommand
{
    private const double DefaultStopSeconds = 60;

    private readonly TextWriter _error;
    private readonly Func<MachineOptions, CancellationToken, Task<MachineResult>> _runMachine;

    private readonly Argument<string?> _name = new("NAME")
    {
        Arity = ArgumentArity.ZeroOrOne,
        Description = "A machine made with 'create' [default: Debian's kernel with a small guest]",
    };

    private readonly Option<string?> _kernel = new("--kernel", "-k")
    {
        HelpName = $"FILE|SERIES|{GuestOptions.DiskKernel}",
        Description = $"A kernel file (vmlinuz), or a Debian kernel to fetch: {string.Join(", ", KernelFlavour.Tested)}; {GuestOptions.DiskKernel}: /vmlinuz and /initrd.img on the first disk, which is the root then [default: {GuestOptions.DefaultFlavour}]",
    };

    private readonly Option<string[]> _initrd = new("--initrd", "-i")
    {
        HelpName = "FILE",
        Description = "An initramfs (cpio archive); may be given several times, the archives are joined [default: a small guest with a shell, or none if --kernel names a file]",
    };

    private readonly Option<string[]> _append = new("--append", "-a")
    {
        HelpName = GuestOptions.AnyText,
        Description = "Text for the kernel's command line; may be given several times",
    };

    private readonly Option<bool> _noDefaultAppend = new("--no-default-append")
    {
        Description = $"Leave out what the kernel's command line starts with otherwise: {KernelCommandLine.Defaults} and the TERM of the terminal",
    };

    private readonly Option<MemoryRange?> _memory = new("--memory", "-m")
    {
        HelpName = "SIZE|LEAST..MOST",
        Description = $"The guest's memory, such as 512M or 2G; a plain number means MiB. With 256M..2G it has 2G, and what it does not need goes back to the host, down to 256M [default: {MemorySize.Format(MemorySize.Default)}]",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (!MemoryRange.TryParse(text, out MemoryRange range, out string reason))
            {
                result.AddError($"--memory {text}: {reason}.");
            }

            return range;
        },
    };

    private readonly Option<DiskOption[]> _disk = new("--disk", "-d")
    {
        HelpName = DiskOption.Syntax,
        AllowMultipleArgumentsPerToken = false,
        Arity = ArgumentArity.OneOrMore,
        Description = "A disk: a raw file or block device, as /dev/xvda and so on; may be given several times. ro: not to be written; overlay: what the guest writes goes to that file (made if it is not there); name: its name in the guest",
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

    private readonly ShareOptions _shares = new();

    private readonly Option<string?> _log = new("--log")
    {
        HelpName = "FILE",
        Description = "Write what the guest shows on its console to this file as well",
    };

    private readonly Option<double?> _stopTimeout = new("--stop-timeout")
    {
        HelpName = "SECONDS",
        Description = "How long a guest may take to shut down when colinux gets a signal (SIGTERM, SIGINT, SIGHUP) before it is switched off; 0 switches it off at once [default: 60]",
        CustomParser = StopSeconds.Parse,
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

    /// <summary>Creates <c>run</c>.</summary>
    /// <param name="error">Receives messages.</param>
    /// <param name="runMachine">Runs a machine from start to end.</param>
    public static Command Create(TextWriter error, Func<MachineOptions, CancellationToken, Task<MachineResult>> runMachine)
    {
        RunCommand run = new(error, runMachine);
        Command command = run.CreateCommand("run", "Starts a guest in the foreground, with its console on the terminal (Ctrl-] ? for help, Ctrl-] q to end it). Without a name and options: Debian's kernel with a small guest, and the current folder in it.");
        command.SetAction(run.RunAsync);
        return command;
    }

    /// <summary>Creates <c>start</c>.</summary>
    /// <param name="error">Receives messages.</param>
    public static Command CreateStart(TextWriter error)
    {
        RunCommand start = new(error, Machine.RunAsync);
        start._name.Arity = ArgumentArity.ExactlyOne;
        start._name.Description = "A machine made with 'create'";
        Command command = start.CreateCommand("start", "Starts a machine in the background, for 'attach', 'exec', 'logs' and 'stop'. It takes the options of 'run', and shares only the folders that are named.");
        command.Options.Remove(start._log);
        command.SetAction(start.StartAsync);
        return command;
    }

    /// <summary>Creates the command that is the process of a machine in the background.</summary>
    /// <param name="output">Told when the machine runs.</param>
    /// <param name="error">Receives messages until then.</param>
    public static Command CreateSupervise(TextWriter output, TextWriter error)
    {
        RunCommand supervise = new(error, Machine.RunAsync);
        Command command = supervise.CreateCommand(StartCommand.SuperviseName, "The process of a machine that was started with 'start'.");
        command.Hidden = true;
        command.SetAction((parsed, cancellationToken) => supervise.SuperviseAsync(parsed, output, cancellationToken));
        return command;
    }

    private Command CreateCommand(string name, string description)
    {
        _name.Validators.Add(result =>
        {
            // What is no option of ours is taken for the name.
            string name = result.Tokens[0].Value;
            if (name.StartsWith('-'))
            {
                result.AddError($"unknown option '{name}'");
            }
            else if (name.StartsWith('@'))
            {
                result.AddError($"'{name}' is no name of a machine");
            }
        });
        _append.Validators.Add(result =>
        {
            if (KernelCommandLine.Check(string.Join(' ', result.Tokens.Select(token => token.Value))) is string wrong)
            {
                result.AddError(wrong + ".");
            }
        });
        Command command = new(name, description)
        {
            _name,
            _kernel,
            _initrd,
            _append,
            _noDefaultAppend,
            _memory,
            _disk,
            _shares.Share,
            _shares.NoShare,
            _log,
            _stopTimeout,
            _trace,
            _verify,
            _mirror,
        };
        _network.AddTo(command);
        return command;
    }

    private static IEnumerable<string> TraceNames()
    {
        return Enum.GetNames<TraceSubjects>().Where(name => name != nameof(TraceSubjects.None)).Select(name => name.ToLowerInvariant());
    }

    // Windows has no such variable; its consoles are terminals of this type.
    private static string? TerminalType() =>
        Environment.GetEnvironmentVariable("TERM") ?? (OperatingSystem.IsWindows() ? "xterm-256color" : null);

    private static void CheckReadable(string path, string what)
    {
        try
        {
            if (Directory.Exists(path))
            {
                throw new UserException(ExitCode.BadImage, $"the {what} {path} is a folder");
            }

            // Opening a pipe would wait for somebody to write into it.
            if (File.Exists(path) && !HostFile.IsRegular(path))
            {
                throw new UserException(ExitCode.BadImage, $"the {what} {path} is a pipe or a device; it must be a file");
            }

            using FileStream stream = File.OpenRead(path);
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
        MachineOptions options = await CreateOptionsAsync(WithMachine(parsed), isFolderShared: true, cancellationToken).ConfigureAwait(false);

        // The one place where the command meets the machine. The console belongs to the machine from here on.
        MachineResult result = await _runMachine(options, cancellationToken).ConfigureAwait(false);
        return (int)Report(result, _error);
    }

    private async Task<int> StartAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        MachineFolder machine = MachineCommands.Find(MachineStore.ForUser(), parsed.GetValue(_name)!);

        // What is wrong with the configuration is better said before there is another process.
        _ = WithMachine(parsed);
        return (int)await StartCommand.StartAsync(machine, OwnTokens(parsed), _error, cancellationToken).ConfigureAwait(false);
    }

    private async Task<int> SuperviseAsync(ParseResult parsed, TextWriter output, CancellationToken cancellationToken)
    {
        HostProcess.Detach();
        MachineOptions options = await CreateOptionsAsync(WithMachine(parsed), isFolderShared: false, cancellationToken).ConfigureAwait(false);
        MachineFolder folder = MachineCommands.Find(MachineStore.ForUser(), parsed.GetValue(_name)!);
        RotatingLog log = new(folder.ConsoleLogPath);
        await using (log.ConfigureAwait(false))
        {
            // Nobody reads standard error from the moment the machine runs.
            TextWriter messages = TextWriter.Synchronized(new StreamWriter(log) { AutoFlush = true, NewLine = "\r\n" });
            Machine machine = await Machine.StartAsync(options with { Output = log, Loggers = WarningLoggers.For(messages) }, cancellationToken).ConfigureAwait(false);
            await using (machine.ConfigureAwait(false))
            {
                await output.WriteLineAsync(StartCommand.Running).ConfigureAwait(false);
                await output.FlushAsync(cancellationToken).ConfigureAwait(false);
                using CancellationTokenRegistration stop = cancellationToken.Register(() => machine.ShutDownAsync(CancellationToken.None));
                MachineResult result = await machine.Completion.ConfigureAwait(false);
                return (int)Report(result, messages);
            }
        }
    }

    private static IEnumerable<string> OwnTokens(ParseResult parsed) =>
        parsed.Tokens.SkipWhile(token => token.Value != parsed.CommandResult.Command.Name).Skip(1).Select(token => token.Value);

    /// <summary>Adds the options in the configuration of the machine that is named.</summary>
    private ParseResult WithMachine(ParseResult parsed)
    {
        if (parsed.GetValue(_name) is not string name)
        {
            return parsed;
        }

        Command command = parsed.CommandResult.Command;
        MachineFolder machine = MachineCommands.Find(MachineStore.ForUser(), name);
        ParserConfiguration configuration = new() { ResponseFileTokenReplacer = null };
        ParseResult whole = command.Parse(
            [.. MachineConfiguration.Read(machine, command, parsed), .. OwnTokens(parsed)],
            configuration);
        return whole.Errors.Count == 0
            ? whole
            : throw new UserException(ExitCode.Usage, $"{machine.ConfigurationPath}: {whole.Errors[0].Message}");
    }

    private static ExitCode Report(MachineResult result, TextWriter error)
    {
        switch (result.End)
        {
            case MachineEnd.Panic:
                ErrorReport.Write(error, $"the guest's kernel panicked: {result.Reason ?? "no reason given"}");
                return ExitCode.GuestPanic;
            case MachineEnd.Crash:
                ErrorReport.Write(error, $"the guest crashed: {result.Reason ?? "no reason given"}");
                if (result.Details is string details)
                {
                    error.WriteLine(details);
                }

                return ExitCode.GuestCrash;
            default:
                return ExitCode.Success;
        }
    }

    private async Task<MachineOptions> CreateOptionsAsync(ParseResult parsed, bool isFolderShared, CancellationToken cancellationToken)
    {
        MachineFolder? machine = parsed.GetValue(_name) is string name ? MachineStore.ForUser().Get(name) : null;
        string kernelText = parsed.GetValue(_kernel) ?? GuestOptions.DefaultFlavour.Name;
        string[] initrds = parsed.GetValue(_initrd) ?? [];
        foreach (string initrd in initrds)
        {
            CheckReadable(initrd, "initramfs");
        }

        IReadOnlyList<DiskOption> disks = [.. (parsed.GetValue(_disk) ?? []).Select(disk => disk.WithFullPaths(Environment.CurrentDirectory))];
        IReadOnlyList<string> appended = parsed.GetValue(_append) ?? [];
        string? kernelPath;
        IReadOnlyList<string> initrdPaths = initrds;
        IReadOnlyList<FileShareOptions> shares;
        if (kernelText == GuestOptions.DiskKernel)
        {
            if (disks.Count == 0)
            {
                throw new UserException(ExitCode.Usage, $"--kernel {GuestOptions.DiskKernel} needs a disk; name one with --disk");
            }

            // Words that come later win, so the user's own root does.
            kernelPath = null;
            shares = _shares.Choose(parsed, flavour: null, isFolderShared && machine is not null);
            appended = [$"root=/dev/{disks[0].Name ?? "xvda"} ro", .. appended];
        }
        else if (File.Exists(kernelText) || !KernelFlavour.TryParse(kernelText, out KernelFlavour flavour))
        {
            CheckReadable(kernelText, "kernel");
            kernelPath = Path.GetFullPath(kernelText);
            shares = _shares.Choose(parsed, flavour: null, isFolderShared: false);
        }
        else
        {
            shares = _shares.Choose(parsed, flavour, isFolderShared && !flavour.IsCloud);
            GuestCache cache = GuestCache.ForUser();
            AptSourceChoice sources = AptSourceChoice.OfMirror(parsed.GetValue(_mirror));
            using GuestProgressLine? progress = GuestProgressLine.ForStandardError();
            Kernel kernel = await new KernelStore(cache, sources).GetAsync(flavour, progress, cancellationToken).ConfigureAwait(false);
            kernelPath = kernel.VmlinuzPath;
            if (initrds.Length == 0)
            {
                initrdPaths = await new DefaultGuest(cache, sources).GetInitrdsAsync(kernel, progress, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                // Whatever the guest is, its disks and shares need the drivers of this kernel.
                initrdPaths = [.. initrds, await new ModuleArchive(cache).GetAsync(kernel, progress, cancellationToken).ConfigureAwait(false)];
            }
        }

        MemoryRange memory = parsed.GetValue(_memory) ?? new MemoryRange(MemorySize.Default, MemorySize.Default);
        bool withDefaults = !parsed.GetValue(_noDefaultAppend);
        return new MachineOptions
        {
            KernelPath = kernelPath,
            InitrdPaths = [.. initrdPaths.Select(Path.GetFullPath)],
            CommandLine = KernelCommandLine.Create(
                withDefaults,
                TerminalType(),
                [.. withDefaults ? ForDevices(shares, disks, memory) : [], .. appended]),
            Shares = shares,
            MemoryBytes = memory.Most,
            LeastMemoryBytes = memory.IsElastic ? memory.Least : null,
            Disks = disks,
            LogPath = parsed.GetValue(_log) is string log ? Path.GetFullPath(log) : null,
            StopTimeout = TimeSpan.FromSeconds(parsed.GetValue(_stopTimeout) ?? DefaultStopSeconds),
            Trace = parsed.GetValue(_trace),
            Loggers = WarningLoggers.For(_error),
            Processor = new ProcessorOptions { Verify = parsed.GetValue(_verify) },
            Network = _network.Read(parsed),
            ControlPath = machine?.ControlPath,
            TakesCommands = machine is not null,
        };
    }

    private static IEnumerable<string> ForDevices(IReadOnlyList<FileShareOptions> shares, IReadOnlyList<DiskOption> disks, MemoryRange memory) =>
    [
        .. ShareOptions.CommandLine(shares),
        .. disks.Count > 0 ? [KernelCommandLine.Disks] : Array.Empty<string>(),
        .. memory.IsElastic ? [KernelCommandLine.Elastic] : Array.Empty<string>(),
    ];
}
