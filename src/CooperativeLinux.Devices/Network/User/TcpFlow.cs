using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.Tcp;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>A TCP connection of the guest, joined to one of the host. All is called with the network's lock held, but for the starts of
/// the sockets' callbacks.</summary>
internal sealed class TcpFlow : ITcpLink, ITcpUser
{
    // Payload of the largest segments: packets stay below 64 KiB.
    private const int MaxLargePayload = 65535 - IpPacket.HeaderSizeV6 - TcpHeader.Size;

    // Bytes read from the host before others get a turn.
    private const int ReadBudget = 1 << 20;

    private readonly NetworkCore _core;
    private readonly TcpFlows _flows;
    private readonly FlowKey _key;
    private readonly Socket _socket;
    private readonly uint _firstSequence;
    private readonly SocketAsyncEventArgs _readEvent = new();
    private readonly SocketAsyncEventArgs _writeEvent = new();
    private bool _isReading;
    private bool _isConnected;
    private bool _isHostFinished;
    private bool _isGuestFinished;
    private bool _hasShutDown;
    private bool _hasFailed;

    /// <param name="flows">All connections.</param>
    /// <param name="core">The network.</param>
    /// <param name="key">Both ends.</param>
    /// <param name="socket">The host's connection, made or still to be made.</param>
    /// <param name="firstSequence">Of a guest that connects: the number of its first segment.</param>
    public TcpFlow(TcpFlows flows, NetworkCore core, FlowKey key, Socket socket, uint firstSequence)
    {
        _flows = flows;
        _core = core;
        _key = key;
        _socket = socket;
        _firstSequence = firstSequence;
        Endpoint = new TcpEndpoint(this, this, flows.LimitsFor(SegmentSizeOf(key)), (uint)Random.Shared.NextInt64());
        _readEvent.Completed += (_, _) => Enter(OnReadable);
        _writeEvent.Completed += (_, _) => Enter(OnWritten);
    }

    public FlowKey Key => _key;

    public TcpEndpoint Endpoint { get; }

    /// <summary>Whether it waits to be served at the end of a batch.</summary>
    public bool IsTouched { get; set; }

    /// <summary>Whether it waits for room in the guest.</summary>
    public bool IsWaitingForRoom { get; set; }

    public bool IsClosed { get; private set; }

    /// <inheritdoc/>
    public int MaxPayload =>
        _core.Link.Port is { } port && (_key.Guest.IsV4 ? port.TakesSegmentationV4 : port.TakesSegmentationV6) ? MaxLargePayload : 0;

    /// <summary>Connects to the host's side for a guest that connects.</summary>
    public void ConnectHost(in TcpHeader syn, IPEndPoint target)
    {
        Endpoint.Open(syn);
        SocketAsyncEventArgs connect = new() { RemoteEndPoint = target };
        connect.Completed += (_, _) => Enter(() => OnConnected(connect.SocketError));
        try
        {
            if (!_socket.ConnectAsync(connect))
            {
                OnConnected(connect.SocketError);
            }
        }
        catch (SocketException error)
        {
            OnConnected(error.SocketErrorCode);
        }
    }

    /// <summary>Connects to the guest for a client on the host.</summary>
    public void ConnectGuest()
    {
        _isConnected = true;
        _socket.Blocking = false;
        Endpoint.Connect(NetworkCore.Now);
    }

    /// <summary>Does all that follows from what came: writes to the host, reads from it, answers the guest.</summary>
    public void Serve()
    {
        if (IsClosed)
        {
            return;
        }

        long now = NetworkCore.Now;
        if (_hasFailed)
        {
            _hasFailed = false;
            Endpoint.Abort();
            Close(isReset: true);
            return;
        }

        StartWriting();
        if (_isGuestFinished && Endpoint.Received.Count == 0 && !_hasShutDown)
        {
            _hasShutDown = true;
            TryShutdown();
        }

        Endpoint.Output(now);
        Read(now);
        if (Endpoint.IsBlocked && !IsClosed)
        {
            _flows.WaitForRoom(this);
        }

        _core.WakeAt(Endpoint.Deadline);
    }

    /// <summary>Serves a connection that carries little; one with much on its way to the guest is left to another thread.</summary>
    public void ServeBriefly()
    {
        bool isBulk = _isConnected && !_isReading && !_isHostFinished;
        if (!isBulk)
        {
            Serve();
        }
        else if (!IsClosed)
        {
            ServeLater();
        }
    }

    /// <summary>Ends the connection on both sides.</summary>
    public void Abort()
    {
        if (!IsClosed)
        {
            Endpoint.Abort();
            Close(isReset: true);
        }
    }

    /// <inheritdoc/>
    public bool TrySend(in TcpHeader header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, int segmentSize)
    {
        Span<byte> bytes = stackalloc byte[TcpHeader.MaxSize];
        TcpHeader full = header with { SourcePort = _key.RemotePort, TargetPort = _key.GuestPort };
        int size = full.Write(bytes);
        int length = payload.Length + rest.Length;
        ushort sum = InternetChecksum.PseudoHeader(_key.Remote, _key.Guest, IpProtocol.Tcp, size + length);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[TcpHeader.ChecksumOffset..], sum);
        FrameOffload offload = length > segmentSize
            ? new FrameOffload(FrameChecksum.Partial, _key.Guest.IsV4 ? FrameSegmentation.TcpV4 : FrameSegmentation.TcpV6, (ushort)segmentSize)
            : new FrameOffload(FrameChecksum.Partial);
        return _core.Link.TrySend(_key.Remote, _key.Guest, IpProtocol.Tcp, bytes[..size], payload, rest, offload);
    }

    void ITcpUser.OnEstablished()
    {
    }

    int ITcpUser.OnData(ReadOnlySpan<byte> data)
    {
        if (Endpoint.IsReceivedShared)
        {
            return 0;
        }

        int sent = 0;
        while (sent < data.Length && !_hasFailed)
        {
            int count = _socket.Send(data[sent..], SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
            {
                break;
            }

            _hasFailed = error != SocketError.Success;
            sent += count;
        }

        return _hasFailed ? data.Length : sent;
    }

    void ITcpUser.OnPeerFinished() => _isGuestFinished = true;

    void ITcpUser.OnSendRoom()
    {
    }

    void ITcpUser.OnReset(bool isTimeout) => Close(isReset: true);

    void ITcpUser.OnClosed() => Close(isReset: false);

    private static int SegmentSizeOf(in FlowKey key) =>
        NetworkLimits.Mtu - TcpHeader.Size - (key.Guest.IsV4 ? IpPacket.HeaderSizeV4 : IpPacket.HeaderSizeV6);

    private void Enter(Action action) => _core.Enter(() =>
    {
        if (!IsClosed)
        {
            action();
        }
    });

    private void OnConnected(SocketError error)
    {
        switch (error)
        {
            case SocketError.Success:
                _isConnected = true;
                _socket.Blocking = false;
                Endpoint.Accept(NetworkCore.Now);
                Serve();
                break;
            case SocketError.HostUnreachable or SocketError.HostDown or SocketError.TimedOut:
                _core.Link.SendUnreachable(_key, IpProtocol.Tcp, _firstSequence, UnreachableReason.Host);
                Close(isReset: true);
                break;
            case SocketError.NetworkUnreachable or SocketError.NetworkDown or SocketError.AddressFamilyNotSupported:
                _core.Link.SendUnreachable(_key, IpProtocol.Tcp, _firstSequence, UnreachableReason.Network);
                Close(isReset: true);
                break;
            default:
                Abort();
                break;
        }
    }

    private void OnReadable()
    {
        _isReading = false;
        Serve();
    }

    private void OnWritten()
    {
        Endpoint.IsReceivedShared = false;
        if (_writeEvent.SocketError == SocketError.Success)
        {
            Endpoint.Consume(_writeEvent.BytesTransferred);
        }
        else
        {
            _hasFailed = true;
        }

        Serve();
    }

    private void StartWriting()
    {
        if (Endpoint.IsReceivedShared || !_isConnected || Endpoint.Received.Count == 0)
        {
            return;
        }

        ReadOnlyMemory<byte> part = Endpoint.Received.Peek(0, Endpoint.Received.Count);
        _writeEvent.SetBuffer(System.Runtime.InteropServices.MemoryMarshal.AsMemory(part));
        Endpoint.IsReceivedShared = true;
        if (!_socket.SendAsync(_writeEvent))
        {
            // Done already, but the caller is in the middle of serving.
            ThreadPool.UnsafeQueueUserWorkItem(static flow => flow.Enter(flow.OnWritten), this, preferLocal: true);
        }
    }

    private void Read(long now)
    {
        int budget = ReadBudget;
        while (!_isReading && !_isHostFinished && !_hasFailed && _isConnected && !IsClosed)
        {
            int room = Endpoint.SendRoom;
            if (room == 0)
            {
                return;
            }

            if (budget <= 0)
            {
                ServeLater();
                return;
            }

            Span<byte> space = Endpoint.Sending.Space();
            int count = _socket.Receive(space[..Math.Min(space.Length, room)], SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
            {
                Endpoint.Sending.Trim();
                WaitForHost();
                return;
            }

            if (error != SocketError.Success)
            {
                Endpoint.Abort();
                Close(isReset: true);
                return;
            }

            if (count == 0)
            {
                _isHostFinished = true;
                Endpoint.Finish();
            }

            Endpoint.Sending.Commit(count);
            budget -= count;
            Endpoint.Output(now);
        }
    }

    private void ServeLater()
    {
        _isReading = true;
        ThreadPool.UnsafeQueueUserWorkItem(static flow => flow.Enter(flow.OnReadable), this, preferLocal: false);
    }

    private void WaitForHost()
    {
        // Waits for data without having memory for it.
        _isReading = true;
        if (!_socket.ReceiveAsync(_readEvent))
        {
            ThreadPool.UnsafeQueueUserWorkItem(static flow => flow.Enter(flow.OnReadable), this, preferLocal: true);
        }
    }

    private void TryShutdown()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            // The host's peer is gone; reading says so.
        }
    }

    private void Close(bool isReset)
    {
        if (IsClosed)
        {
            return;
        }

        IsClosed = true;
        if (isReset && _isConnected)
        {
            try
            {
                // The host's peer must not take a broken connection for a finished one.
                _socket.LingerState = new LingerOption(true, 0);
            }
            catch (SocketException)
            {
            }
        }

        _socket.Dispose();
        _readEvent.Dispose();
        _writeEvent.Dispose();
        _flows.Remove(this);
    }
}
