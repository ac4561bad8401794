using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.Tap.Sys;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Network.Tap;

/// <summary>A network that is a TAP interface of the host: frames go through as they are.</summary>
public sealed class TapNetwork : INetwork
{
    private readonly string _name;
    private readonly ILogger _logger;
    private readonly LinuxTap _tap;
    private readonly Lock _gate = new();
    private readonly AutoResetEvent _room = new(false);
    private readonly Thread _reader;
    private INetworkPort? _port;
    private volatile bool _isStopping;

    /// <param name="name">Name of the interface.</param>
    /// <param name="logger">Told when the interface goes away.</param>
    /// <exception cref="NetworkException">The user may not, or there is no such thing.</exception>
    public TapNetwork(string name, ILogger logger)
    {
        _name = name;
        _logger = logger;
        _tap = new LinuxTap(name);
        _reader = new Thread(Read) { IsBackground = true, Name = name };
        _reader.Start();
    }

    /// <inheritdoc/>
    public void Attach(INetworkPort port)
    {
        lock (_gate)
        {
            _tap.SetOffload(port.TakesSegmentationV4, port.TakesSegmentationV6);
            _port = port;
        }
    }

    /// <inheritdoc/>
    public void Detach(INetworkPort port)
    {
        lock (_gate)
        {
            if (ReferenceEquals(_port, port))
            {
                _port = null;
            }
        }

        _room.Set();
    }

    /// <inheritdoc/>
    public void Transmit(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        Span<byte> header = stackalloc byte[VirtualHeader.Size];
        if (frame.Length >= Ethernet.HeaderSize && VirtualHeader.TryWrite(header, frame, offload))
        {
            _tap.Write(header, frame);
        }
    }

    /// <inheritdoc/>
    public void EndBatch()
    {
    }

    /// <inheritdoc/>
    public void OnRoom() => _room.Set();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_isStopping)
        {
            _isStopping = true;
            _tap.Interrupt();
            _room.Set();
            _reader.Join();
            _tap.Dispose();
        }
    }

    private void Read()
    {
        byte[] buffer = new byte[VirtualHeader.Size + NetworkLimits.MaxFrame];
        while (!_isStopping)
        {
            int length = _tap.Read(buffer);
            if (length == 0)
            {
                if (!_tap.Wait())
                {
                    _logger.LogWarning("The TAP interface {Name} is gone; the guest's network is dead until the next start", _name);
                    return;
                }
            }
            else if (length > VirtualHeader.Size + Ethernet.HeaderSize && VirtualHeader.TryRead(buffer, out FrameOffload offload))
            {
                Deliver(buffer.AsSpan(VirtualHeader.Size, length - VirtualHeader.Size), offload);
            }
        }
    }

    private void Deliver(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        while (!_isStopping)
        {
            lock (_gate)
            {
                if (_port is not { } port || port.TryDeliver(frame, default, default, offload))
                {
                    return;
                }
            }

            // The host's queue is behind us, and drops what is too much.
            _room.WaitOne();
        }
    }
}
