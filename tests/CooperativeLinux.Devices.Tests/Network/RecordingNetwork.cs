using System.Collections.Concurrent;
using CooperativeLinux.Devices.Network;

namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>A network that keeps what comes.</summary>
internal sealed class RecordingNetwork : INetwork
{
    private int _rooms;
    private int _batches;

    public ConcurrentQueue<(byte[] Frame, FrameOffload Offload)> Frames { get; } = new();

    public INetworkPort? Port { get; private set; }

    public int Attachments { get; private set; }

    public int Rooms => Volatile.Read(ref _rooms);

    public int Batches => Volatile.Read(ref _batches);

    public void Attach(INetworkPort port)
    {
        Attachments++;
        Port = port;
    }

    public void Detach(INetworkPort port) => Port = null;

    public void Transmit(ReadOnlySpan<byte> frame, FrameOffload offload) => Frames.Enqueue((frame.ToArray(), offload));

    public void EndBatch() => Interlocked.Increment(ref _batches);

    public void OnRoom() => Interlocked.Increment(ref _rooms);

    public void Dispose()
    {
    }
}
