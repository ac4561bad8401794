using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Xenbus;

/// <summary>Passes the first few warnings on as they are and further ones for debugging only: a guest can break its protocol for ever.</summary>
/// <param name="inner">Where lines go.</param>
/// <param name="most">Lines of the level Warning and above.</param>
internal sealed class LimitedLogger(ILogger inner, int most) : ILogger
{
    private int _warnings;

    /// <inheritdoc/>
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => inner.BeginScope(state);

    /// <inheritdoc/>
    public bool IsEnabled(LogLevel logLevel) => inner.IsEnabled(logLevel);

    /// <inheritdoc/>
    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        bool isOneTooMany = logLevel >= LogLevel.Warning && Interlocked.Increment(ref _warnings) > most;
        inner.Log(isOneTooMany ? LogLevel.Debug : logLevel, eventId, state, exception, formatter);
    }
}
