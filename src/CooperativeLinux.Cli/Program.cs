using System.Runtime.InteropServices;

namespace CooperativeLinux.Cli;

/// <summary>The command <c>colinux</c>.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        using CancellationTokenSource cancellation = new();
        ManualResetEventSlim ended = new();
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

        // Ctrl-Break, which is no character: no guest gets it. Elsewhere SIGQUIT ends the program with a memory dump, as usual.
        using PosixSignalRegistration? stop = OperatingSystem.IsWindows() ? OnSignal(PosixSignal.SIGQUIT, ExitCode.Interrupted) : null;

        Application application = new(Console.Out, Console.Error, Machine.RunAsync);
        ExitCode code = await application.RunAsync(arguments, cancellation.Token).ConfigureAwait(false);
        ended.Set();
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
                if (OperatingSystem.IsWindows() && signal is (PosixSignal.SIGHUP or PosixSignal.SIGTERM))
                {
                    // The window was closed, or the user logs off: Windows ends the process when this returns, at the latest after some
                    // seconds (HandlerRoutine, CTRL_CLOSE_EVENT).
                    ended.Wait();
                }
            });
        }
    }
}
