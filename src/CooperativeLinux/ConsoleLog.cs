using CooperativeLinux.Devices.Console;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux;

/// <summary>A file that receives what the guest writes to its console. A full disk ends the log, not the guest.</summary>
internal sealed partial class ConsoleLog : IConsoleSink, IDisposable
{
    private readonly ILogger _logger;
    private FileStream? _file;

    /// <param name="path">The file; one that is there is replaced.</param>
    /// <param name="logger">Told when the log cannot be written any more.</param>
    /// <exception cref="MachineStartException">The log cannot be written.</exception>
    public ConsoleLog(string path, ILogger logger)
    {
        _logger = logger;
        try
        {
            _file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            string reason = Directory.Exists(path) ? "it is a folder" : error.Message;
            throw new MachineStartException(MachineStartFailure.Host, $"cannot write the log {path}: {reason}", error);
        }
    }

    public void Write(ReadOnlySpan<byte> output)
    {
        if (_file is not FileStream file)
        {
            return;
        }

        try
        {
            file.Write(output);
        }
        catch (IOException error)
        {
            _file = null;
            file.Dispose();
            LogEnd(_logger, file.Name, error.Message);
        }
    }

    public void Dispose() => _file?.Dispose();

    [LoggerMessage(Level = LogLevel.Error, Message = "the log {Path} ends here, the guest goes on: {Reason}")]
    private static partial void LogEnd(ILogger logger, string path, string reason);
}
