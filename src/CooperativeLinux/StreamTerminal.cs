using CooperativeLinux.Devices.Console;
using CooperativeLinux.Host.Terminals;

namespace CooperativeLinux;

/// <summary>A console that only writes, to a stream.</summary>
internal sealed class StreamTerminal(Stream output) : ITerminal, IConsoleSink
{
    private readonly Lock _gate = new();

    public event Action<TerminalSize>? Resized
    {
        add { }
        remove { }
    }

    public bool IsInputTerminal => false;

    public bool IsOutputTerminal => false;

    public bool IsRaw => false;

    public TerminalSize? Size => null;

    public bool EnterRawMode() => false;

    public void LeaveRawMode()
    {
    }

    public ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => ValueTask.FromResult(0);

    public bool Write(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            output.Write(bytes);
        }

        return true;
    }

    void IConsoleSink.Write(ReadOnlySpan<byte> bytes) => Write(bytes);

    public void Dispose()
    {
    }
}
