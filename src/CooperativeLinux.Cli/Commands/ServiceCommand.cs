using System.CommandLine;
using System.ComponentModel;
using System.Runtime.Versioning;
using CooperativeLinux.Cli.Services;
using CooperativeLinux.Guests.Machines;

namespace CooperativeLinux.Cli.Commands;

/// <summary><c>colinux service</c>: machines as Windows services, which run while nobody is logged on.</summary>
internal static class ServiceCommand
{
    private const string WindowsOnly = "services are of Windows; elsewhere let the system's own service manager start 'colinux run NAME'";
    private const string LogName = "service.log";

    // Beyond the default of 'run --stop-timeout', so that the machine is switched off by us and not by Windows.
    private static readonly TimeSpan StopTime = TimeSpan.FromSeconds(75);

    /// <summary>Creates the command.</summary>
    /// <param name="output">Receives results.</param>
    public static Command Create(TextWriter output)
    {
        Argument<string> name = new("NAME") { Description = "The machine" };
        Command install = new("install", "Makes a service that runs a machine from the start of the system on. It takes an administrator.") { name };
        install.SetAction(parsed => Install(parsed.GetValue(name)!, output));
        Command remove = new("remove", "Shuts the machine down if it runs as a service, and removes the service. The machine stays.") { name };
        remove.SetAction(parsed => Remove(parsed.GetValue(name)!, output));

        Option<string> folder = new("--data") { Required = true, Description = "The folder that XDG_DATA_HOME stands for" };
        Command run = new("run", "What the service runs.") { name, folder };
        run.Hidden = true;
        run.SetAction((parsed, cancellationToken) => RunAsync(parsed.GetValue(name)!, parsed.GetValue(folder)!, cancellationToken));
        return new Command("service", "Runs machines as Windows services.") { install, remove, run };
    }

    private static string ServiceOf(string machine) => $"colinux-{machine}";

    [SupportedOSPlatformGuard("windows")]
    private static bool IsWindows => OperatingSystem.IsWindows();

    private static int Install(string name, TextWriter output)
    {
        MachineFolder machine = MachineCommands.Find(MachineStore.ForUser(), name);
        if (!IsWindows)
        {
            throw new UserException(ExitCode.Failed, WindowsOnly);
        }

        string service = ServiceOf(machine.Name);
        ServiceAccount account = new(service);
        string program = Environment.ProcessPath!;
        string commandLine = $"\"{program}\" service run {machine.Name} --data \"{DataHomeOf(machine)}\"";
        try
        {
            ServiceManager.Create(service, commandLine, account.Name, $"The Cooperative Linux machine {machine.Name} in {machine.Path}");
        }
        catch (Win32Exception error)
        {
            throw new UserException(ExitCode.Failed, $"cannot make the service {service}: {Explain(error)}", error);
        }

        try
        {
            account.Permit(machine.Path, isWritable: true);
            account.Permit(AppContext.BaseDirectory, isWritable: false);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            ServiceManager.Remove(service);
            throw new UserException(ExitCode.Failed, $"cannot let the service use {machine.Path} and {AppContext.BaseDirectory}: {error.Message}", error);
        }

        output.WriteLine($"{service}: it starts with the system, or now with 'sc start {service}'; what it says goes to {Path.Combine(machine.Path, LogName)}");
        return (int)ExitCode.Success;
    }

    private static int Remove(string name, TextWriter output)
    {
        if (!IsWindows)
        {
            throw new UserException(ExitCode.Failed, WindowsOnly);
        }

        string service = ServiceOf(name);
        try
        {
            ServiceManager.Remove(service);
        }
        catch (System.ServiceProcess.TimeoutException error)
        {
            throw new UserException(ExitCode.Failed, $"the service {service} does not stop; nothing was removed", error);
        }
        catch (InvalidOperationException error)
        {
            throw new UserException(
                ExitCode.Failed, $"cannot remove the service {service}: {(error.InnerException is Win32Exception cause ? Explain(cause) : error.Message)}", error);
        }

        // The machine may be gone already, or the folder be another's; what was permitted is then of no use to anybody.
        MachineFolder machine = MachineStore.ForUser().Get(name);
        if (machine.Exists)
        {
            try
            {
                new ServiceAccount(service).Forbid(machine.Path);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidOperationException)
            {
                output.WriteLine($"{machine.Path} keeps an entry for the removed service in its access list: {error.Message}");
            }
        }

        return (int)ExitCode.Success;
    }

    private static async Task<int> RunAsync(string name, string folder, CancellationToken cancellationToken)
    {
        if (!IsWindows)
        {
            throw new UserException(ExitCode.Failed, WindowsOnly);
        }

        // The service's account has folders of its own, where the machine is not.
        Environment.SetEnvironmentVariable(MachineStore.DataVariable, folder);
        MachineFolder machine = MachineCommands.Find(MachineStore.ForUser(), name);
        await MachineService.RunAsync(["run", name], Path.Combine(machine.Path, LogName), StopTime, cancellationToken).ConfigureAwait(false);
        return (int)ExitCode.Success;
    }

    // The machine's folder is DATA/colinux/machines/NAME.
    private static string DataHomeOf(MachineFolder machine) => Path.GetFullPath(Path.Combine(machine.Path, "..", "..", ".."));

    private static string Explain(Win32Exception error)
    {
        const int AccessDenied = 5, DoesNotExist = 1060, Exists = 1073, MarkedForDelete = 1072;
        return error.NativeErrorCode switch
        {
            AccessDenied => "services are an administrator's; start this from a terminal that was opened with 'Run as administrator'",
            DoesNotExist => "there is none",
            Exists => "it is there already; 'colinux service remove' removes it",
            MarkedForDelete => "the one before goes away when the last program that looks at it is closed, such as services.msc",
            _ => error.Message,
        };
    }
}
