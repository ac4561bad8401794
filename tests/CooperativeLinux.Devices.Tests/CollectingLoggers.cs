using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Tests;

/// <summary>Keeps what is logged.</summary>
internal sealed class CollectingLoggers : ILoggerFactory, ILogger
{
    /// <summary>Level and text, in order.</summary>
    public ConcurrentQueue<(LogLevel Level, string Text)> Lines { get; } = [];

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Lines.Enqueue((logLevel, $"{formatter(state, exception)} {exception}"));

    public void Dispose()
    {
    }
}
