using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Cli;

/// <summary>Shows what devices have to tell the owner of a machine, such as a full disk of the host: one line each, among what the guest
/// shows. What other parts log is for finding faults and not shown.</summary>
internal sealed class DeviceWarnings(TextWriter error) : ILoggerFactory
{
    private static readonly string s_shown = typeof(Devices.Xenbus.BackendDevice).Assembly.GetName().Name + ".";

    public ILogger CreateLogger(string categoryName) =>
        categoryName.StartsWith(s_shown, StringComparison.Ordinal) ? new Logger(error) : NullLogger.Instance;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public void Dispose()
    {
    }

    private sealed class Logger(TextWriter error) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                // The terminal is the guest's, which moves the cursor to the start of a line itself.
                string start = Console.IsErrorRedirected ? "" : "\r\n";
                string message = exception is null ? formatter(state, null) : $"{formatter(state, null)}: {exception.Message}";
                lock (error)
                {
                    ErrorReport.Write(error, message, start, Console.IsErrorRedirected ? Environment.NewLine : "\r\n");
                }
            }
        }
    }
}
