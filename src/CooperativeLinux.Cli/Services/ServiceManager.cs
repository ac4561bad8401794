using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.ServiceProcess;

namespace CooperativeLinux.Cli.Services;

/// <summary>Makes and removes Windows services; the library that runs them has no such calls. Constants from winsvc.h and winnt.h.</summary>
[SupportedOSPlatform("windows")]
internal static unsafe partial class ServiceManager
{
    private const uint ManagerCreateService = 0x2;
    private const uint ServiceAllAccess = 0xF01FF;
    private const uint OwnProcess = 0x10;
    private const uint AutomaticStart = 2;
    private const uint NormalErrors = 1;
    private const uint DescriptionInformation = 1;

    private static readonly TimeSpan StopTime = TimeSpan.FromMinutes(2);

    /// <summary>Makes a service that starts with the system.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="commandLine">The program with its arguments.</param>
    /// <param name="account">The account that it runs as; one without a password.</param>
    /// <param name="description">A line for people.</param>
    /// <exception cref="Win32Exception">The system refuses.</exception>
    public static void Create(string name, string commandLine, string account, string description)
    {
        using Handle manager = new(OpenSCManager(null, null, ManagerCreateService));
        using Handle service = new(CreateService(
            manager.Value, name, name, ServiceAllAccess, OwnProcess, AutomaticStart, NormalErrors, commandLine, null, 0, null, account, null));
        fixed (char* text = description)
        {
            nint information = (nint)text;
            if (!ChangeServiceConfig2(service.Value, DescriptionInformation, &information))
            {
                throw new Win32Exception(Marshal.GetLastPInvokeError());
            }
        }
    }

    /// <summary>Stops a service and removes it.</summary>
    /// <exception cref="InvalidOperationException">There is none, or the system refuses.</exception>
    /// <exception cref="System.ServiceProcess.TimeoutException">It does not stop.</exception>
    public static void Remove(string name)
    {
        using ServiceController service = new(name);
        if (service.Status is not (ServiceControllerStatus.Stopped or ServiceControllerStatus.StopPending))
        {
            service.Stop();
        }

        service.WaitForStatus(ServiceControllerStatus.Stopped, StopTime);
        if (!DeleteService(service.ServiceHandle.DangerousGetHandle()))
        {
            throw new InvalidOperationException(null, new Win32Exception(Marshal.GetLastPInvokeError()));
        }
    }

    [LibraryImport("advapi32", EntryPoint = "OpenSCManagerW", SetLastError = true, StringMarshalling = StringMarshalling.Utf16)]
    private static partial nint OpenSCManager(string? machine, string? database, uint access);

    [LibraryImport("advapi32", EntryPoint = "CreateServiceW", SetLastError = true, StringMarshalling = StringMarshalling.Utf16)]
    private static partial nint CreateService(
        nint manager, string name, string displayName, uint access, uint type, uint start, uint errorControl, string commandLine,
        string? loadGroup, nint tag, string? dependencies, string account, string? password);

    [LibraryImport("advapi32", EntryPoint = "ChangeServiceConfig2W", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool ChangeServiceConfig2(nint service, uint level, void* information);

    [LibraryImport("advapi32", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool DeleteService(nint service);

    [LibraryImport("advapi32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool CloseServiceHandle(nint handle);

    private readonly ref struct Handle
    {
        public Handle(nint value)
        {
            Value = value != 0 ? value : throw new Win32Exception(Marshal.GetLastPInvokeError());
        }

        public nint Value { get; }

        public void Dispose() => _ = CloseServiceHandle(Value);
    }
}
