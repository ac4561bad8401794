using System.Runtime.InteropServices;

namespace CooperativeLinux.Cli;

/// <summary>The command <c>colinux</c>.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        using CancellationTokenSource cancellation = new();
        ExitCode signalCode = ExitCode.Interrupted;

        // Only threads of our own can end here; what a command throws is reported by the application.
        AppDomain.CurrentDomain.UnhandledException += (_, e) =>
        {
            ErrorReport.WriteInternalError(Console.Error, e.ExceptionObject as Exception);
            Environment.Exit((int)ExitCode.InternalError);
        };

        using PosixSignalRegistration interrupt = OnSignal(PosixSignal.SIGINT, ExitCode.Interrupted);
        using PosixSignalRegistration terminate = OnSignal(PosixSignal.SIGTERM, ExitCode.Terminated);
        using PosixSignalRegistration hangup = OnSignal(PosixSignal.SIGHUP, ExitCode.Hangup);

        Application application = new(Console.Out, Console.Error, Machine.RunAsync);
        ExitCode code = await application.RunAsync(arguments, cancellation.Token).ConfigureAwait(false);
        return (int)(code == ExitCode.Interrupted ? signalCode : code);

        PosixSignalRegistration OnSignal(PosixSignal signal, ExitCode code)
        {
            return PosixSignalRegistration.Create(signal, context =>
            {
                context.Cancel = true;
                if (cancellation.IsCancellationRequested)
                {
                    // The second request does not wait for an orderly end.
                    Environment.Exit((int)code);
                }

                signalCode = code;
                cancellation.Cancel();
            });
        }
    }
}
