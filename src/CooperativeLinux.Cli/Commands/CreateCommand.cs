using System.CommandLine;
using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Machines;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux create</c>: makes a machine with Debian on its disk.</summary>
internal sealed class CreateCommand
{
    private const long DefaultSize = 8L << 30;
    private const long LeastSize = 2L << 30;

    private readonly TextWriter _output;
    private readonly Func<MachineOptions, CancellationToken, Task<MachineResult>> _runMachine;

    private readonly Argument<string> _name = new("NAME") { Description = "The machine's name, which is the guest's host name too" };

    private readonly Option<string> _release = new("--release")
    {
        HelpName = "NAME",
        Description = $"The Debian release: {string.Join(" or ", DebianRootOptions.Releases)} [default: this machine's, else {DebianRootOptions.Releases[0]}]",
        DefaultValueFactory = _ => AptSourceChoice.HostRelease is string own && DebianRootOptions.Releases.Contains(own) ? own : DebianRootOptions.Releases[0],
    };

    private readonly Option<string[]> _packages = new("--packages")
    {
        HelpName = "LIST",
        AllowMultipleArgumentsPerToken = true,
        Description = "More Debian packages to install, with blanks or commas between them; a kernel among them takes the place of linux-image-amd64",
    };

    private readonly Option<long?> _size = new("--size", "-s")
    {
        HelpName = "SIZE",
        Description = "The size of the disk, which takes room on the host only as it fills [default: 8G]",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (!DiskSize.TryParse(text, out long bytes, out string reason))
            {
                result.AddError($"--size {text}: {reason}.");
            }
            else if (bytes < LeastSize)
            {
                result.AddError($"--size {text}: Debian needs a disk of at least 2G.");
            }

            return bytes;
        },
    };

    private readonly Option<string?> _mirror = GuestOptions.CreateMirror();

    private CreateCommand(TextWriter output, Func<MachineOptions, CancellationToken, Task<MachineResult>> runMachine)
    {
        _output = output;
        _runMachine = runMachine;
        _name.Validators.Add(result => CheckNames(result, isList: false, MachineFolder.IsName, $"is no name for a machine: it has letters, digits and hyphens, at most {MachineFolder.MaxNameLength}"));
        _packages.Validators.Add(result => CheckNames(result, isList: true, ImageCommand.IsPackageName, "is not the name of a Debian package"));
        _release.Validators.Add(result => CheckNames(
            result, isList: false, DebianRootOptions.Releases.Contains, $"is no release that can be installed here: {string.Join(" or ", DebianRootOptions.Releases)}"));
    }

    /// <summary>Creates the command.</summary>
    /// <param name="output">Receives results.</param>
    /// <param name="runMachine">Runs a machine from start to end.</param>
    public static Command Create(TextWriter output, Func<MachineOptions, CancellationToken, Task<MachineResult>> runMachine)
    {
        CreateCommand create = new(output, runMachine);
        Command command = new("create", "Makes a machine: Debian with systemd on a disk, for 'run NAME'. It takes some minutes, and no rights.")
        {
            create._name,
            create._release,
            create._packages,
            create._size,
            create._mirror,
        };
        command.SetAction(create.RunAsync);
        return command;
    }

    private static void CheckNames(System.CommandLine.Parsing.SymbolResult result, bool isList, Func<string, bool> isRight, string complaint)
    {
        foreach (string text in result.Tokens.SelectMany(token => isList ? Words(token.Value) : [token.Value]).Where(text => !isRight(text)))
        {
            result.AddError($"'{text}' {complaint}.");
        }
    }

    private static string[] Words(string text) => text.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        string name = parsed.GetValue(_name)!;
        string release = parsed.GetValue(_release)!;
        DebianRootOptions options = new()
        {
            HostName = name,
            Release = release,
            Packages = [.. (parsed.GetValue(_packages) ?? []).SelectMany(Words).Distinct()],
            Mirror = parsed.GetValue(_mirror),
        };
        MachineStore store = MachineStore.ForUser();
        if (OperatingSystem.IsWindows())
        {
            throw new UserException(
                ExitCode.Failed,
                "machines are made with Debian's apt, which Windows does not have: "
                + $"run 'colinux create {name}' on a Debian machine, and copy its folder ~/.local/share/colinux/machines/{name} to {store.Get(name).Path}");
        }

        MachineFolder machine = store.Begin(name);
        bool isReady = false;
        try
        {
            using GuestProgressLine? progress = GuestProgressLine.ForStandardError();
            DebianRootInstallation installation = await new DebianRootBuilder(GuestCache.ForUser())
                .PrepareAsync(options, machine.Path, progress, cancellationToken).ConfigureAwait(false);
            await InstallAsync(installation, machine, parsed.GetValue(_size) ?? DefaultSize, progress, cancellationToken).ConfigureAwait(false);
            MachineConfiguration.WriteNew(machine, release);
            machine = store.Publish(machine);
            isReady = true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException(ExitCode.Failed, $"cannot make the machine {name}: {error.Message}", error);
        }
        finally
        {
            if (!isReady)
            {
                store.Remove(machine);
            }
        }

        await _output.WriteLineAsync($"{name}: {machine.Path}").ConfigureAwait(false);
        return (int)ExitCode.Success;
    }

    private async Task InstallAsync(
        DebianRootInstallation installation, MachineFolder machine, long size, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        DiskImage.Create(machine.DiskPath, size);
        string logPath = GuestCache.ForUser().PathOf($"create-{machine.Name}.log");
        using FileStream log = File.Create(logPath);
        using InstallationProgress console = new(installation, log, progress);
        MachineOptions options = new()
        {
            KernelPath = installation.KernelPath,
            InitrdPaths = installation.InitrdPaths,
            CommandLine = DebianRootInstallation.CommandLine,
            MemoryBytes = DebianRootInstallation.MemoryBytes,
            Disks = [new DiskOption { Path = machine.DiskPath }, new DiskOption { Path = installation.ArchivePath, IsReadOnly = true }],
            Network = new NetworkSetting { Kind = NetworkKind.None },
            Output = console,
            StopTimeout = TimeSpan.Zero,
        };
        MachineResult result;
        try
        {
            result = await _runMachine(options, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            File.Delete(logPath);
            throw;
        }

        if (result.End != MachineEnd.PowerOff || !console.HasSucceeded)
        {
            string reason = result.Reason ?? (console.Failure.Length > 0 ? console.Failure : "the installation ended early");
            string last = console.LastOutput.Count > 0 ? $" (last: {console.LastOutput.Last()})" : "";
            throw new UserException(ExitCode.Failed, $"cannot install Debian: {reason}{last}; all it said is in {logPath}");
        }

        log.Dispose();
        File.Delete(logPath);
        foreach (string path in (string[])[installation.ArchivePath, .. installation.InitrdPaths.Where(path => Path.GetDirectoryName(path) == machine.Path)])
        {
            File.Delete(path);
        }
    }
}
