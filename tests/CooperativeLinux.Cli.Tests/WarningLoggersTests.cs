using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Cli.Tests;

public sealed class WarningLoggersTests
{
    private readonly StringWriter _error = new();
    private readonly ManualTime _time = new();

    [Theory]
    [InlineData("\n")]
    [InlineData("\r\n")]
    public void Log_Warning_IsOneLine(string lineEnd)
    {
        ILogger logger = new WarningLoggers(_error, lineEnd, _time).CreateLogger("machine");

        logger.LogWarning("the guest used {What},\n which is new", "something");

        Assert.Equal("colinux: the guest used something, which is new" + lineEnd, _error.ToString());
    }

    [Fact]
    public void Log_ErrorWithException_NamesItWithoutStackTrace()
    {
        ILogger logger = new WarningLoggers(_error, "\n", _time).CreateLogger("machine");

        logger.LogError(new InvalidOperationException("no way"), "It failed");

        Assert.Equal("colinux: It failed: InvalidOperationException: no way\n", _error.ToString());
    }

    [Fact]
    public void Log_LessThanAWarning_IsNotWritten()
    {
        ILogger logger = new WarningLoggers(_error, "\n", _time).CreateLogger("machine");

        logger.LogInformation("connected");
        logger.LogDebug("details");

        Assert.False(logger.IsEnabled(LogLevel.Information));
        Assert.Equal("", _error.ToString());
    }

    [Fact]
    public void Log_Flood_IsCutAndCounted()
    {
        WarningLoggers loggers = new(_error, "\n", _time);
        ILogger logger = loggers.CreateLogger("a");
        ILogger other = loggers.CreateLogger("b");
        for (int i = 0; i < WarningLoggers.Burst + 7; i++)
        {
            logger.LogWarning("again");
        }

        _time.Now += TimeSpan.FromSeconds(1);
        other.LogWarning("another");
        other.LogWarning("more");

        string[] lines = _error.ToString().TrimEnd().Split('\n');
        Assert.Equal(WarningLoggers.Burst + 1, lines.Length);
        Assert.Equal("colinux: another (7 messages before this one were left out)", lines[^1]);
    }

    private sealed class ManualTime : TimeProvider
    {
        public TimeSpan Now { get; set; } = TimeSpan.FromHours(1);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
