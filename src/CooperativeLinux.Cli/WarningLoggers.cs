using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Cli;

/// <summary>
/// Writes warnings and errors of a running machine as lines like all others of the command. A guest that causes more than a
/// few per second does not flood the terminal: what is left out is counted.
/// </summary>
/// <param name="error">Receives the lines.</param>
/// <param name="lineEnd">What ends a line; a terminal in raw mode needs CR LF.</param>
/// <param name="time">The clock.</param>
internal sealed class WarningLoggers(TextWriter error, string lineEnd, TimeProvider time) : ILoggerFactory
{
    /// <summary>Lines written at once, and the time after which one more may follow.</summary>
    internal const int Burst = 20;

    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private double _budget = Burst;
    private long _last = time.GetTimestamp();
    private long _leftOut;

    /// <summary>Makes loggers for a command whose messages go to a writer, which may stand for the process' standard error.</summary>
    public static WarningLoggers For(TextWriter error)
    {
        // A terminal that is not raw shows CR LF as it shows LF.
        return new WarningLoggers(error, Console.IsErrorRedirected ? "\n" : "\r\n", TimeProvider.System);
    }

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => new WarningLogger(this);

    /// <inheritdoc/>
    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private void Write(string message)
    {
        lock (_lock)
        {
            long now = time.GetTimestamp();
            _budget = Math.Min(Burst, _budget + (time.GetElapsedTime(_last, now) / Recovery));
            _last = now;
            if (_budget < 1)
            {
                _leftOut++;
                return;
            }

            _budget--;
            string gap = _leftOut == 0 ? "" : $" ({_leftOut} messages before this one were left out)";
            _leftOut = 0;
            error.Write("colinux: " + ErrorReport.OneLine(message) + gap + lineEnd);
            error.Flush();
        }
    }

    private sealed class WarningLogger(WarningLoggers owner) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => NullLogger.Instance.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => logLevel is >= LogLevel.Warning and < LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                string message = formatter(state, exception);
                owner.Write(exception is null ? message : $"{message}: {exception.GetType().Name}: {exception.Message}");
            }
        }
    }
}
