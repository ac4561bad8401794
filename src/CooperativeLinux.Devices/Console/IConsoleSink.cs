namespace CooperativeLinux.Devices.Console;

/// <summary>Where console output goes.</summary>
public interface IConsoleSink
{
    /// <summary>Takes output. Calls come one at a time, on the console's own thread. A sink that blocks stops the guest's output and,
    /// once the ring is full, the guest: wrap a slow one in <see cref="BufferedConsoleSink"/>.</summary>
    /// <param name="output">Raw bytes; only valid during the call.</param>
    void Write(ReadOnlySpan<byte> output);
}
