using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>A UDP port of the host that leads to one of the guest. Each client gets a port of the gateway.</summary>
internal sealed class UdpForward : IDisposable
{
    private const int MaxClients = 256;
    private const ushort FirstPort = 1024;

    // What comes while the guest is busy; the host may give less.
    private const int SocketBuffer = 1 << 20;

    // For one turn; the next one begins at once.
    private const int MaxDatagrams = 64;

    private readonly NetworkCore _core;
    private readonly UdpFlows _flows;
    private readonly ushort _guestPort;
    private readonly Socket _socket;
    private readonly byte[] _buffer = new byte[ushort.MaxValue];
    private readonly SocketAsyncEventArgs _readEvent = new();
    private readonly Dictionary<EndPoint, UdpForwardClient> _clients = [];
    private ushort _nextPort = FirstPort;

    /// <exception cref="SocketException">The port cannot be had.</exception>
    public UdpForward(NetworkCore core, UdpFlows flows, PortForward setting)
    {
        _core = core;
        _flows = flows;
        _guestPort = setting.GuestPort;
        _socket = ForwardSocket.Bind(setting, SocketType.Dgram, ProtocolType.Udp);
        _socket.Blocking = false;
        _socket.ReceiveBufferSize = SocketBuffer;
        _readEvent.SetBuffer(_buffer);
        _readEvent.RemoteEndPoint = new IPEndPoint(setting.Host.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
        _readEvent.Completed += (_, _) => OnReceived();
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint LocalEndPoint => (IPEndPoint)_socket.LocalEndPoint!;

    public void Start() => Wait();

    public void Send(ReadOnlySpan<byte> payload, EndPoint client)
    {
        try
        {
            _socket.SendTo(payload, SocketFlags.None, client);
        }
        catch (SocketException)
        {
            // A datagram lost, as any may be.
        }
    }

    public void Remove(UdpForwardClient client)
    {
        _clients.Remove(client.Client);
        _flows.RemoveForwarded(client);
    }

    public void Dispose()
    {
        _socket.Dispose();
        _readEvent.Dispose();
    }

    private void Wait()
    {
        if (!_socket.ReceiveFromAsync(_readEvent))
        {
            ThreadPool.UnsafeQueueUserWorkItem(static forward => forward.OnReceived(), this, preferLocal: true);
        }
    }

    private void OnReceived() => _core.Enter(() =>
    {
        for (int i = 0; i < MaxDatagrams; i++)
        {
            Deliver();
            if (_socket.ReceiveFromAsync(_readEvent))
            {
                return;
            }
        }

        ThreadPool.UnsafeQueueUserWorkItem(static forward => forward.OnReceived(), this, preferLocal: true);
    });

    private void Deliver()
    {
        if (_readEvent.SocketError == SocketError.Success
            && _core.Link.Port is not null
            && _core.Datagrams.HasRoom
            && _readEvent.RemoteEndPoint is IPEndPoint sender
            && Find(sender) is { } client)
        {
            client.Use();
            ReadOnlySpan<byte> payload = _buffer.AsSpan(0, _readEvent.BytesTransferred);
            _core.Datagrams.Send((client.Key.Remote, client.Key.RemotePort), (client.Key.Guest, client.Key.GuestPort), payload);
        }
    }

    private UdpForwardClient? Find(IPEndPoint sender)
    {
        if (_clients.TryGetValue(sender, out UdpForwardClient? client))
        {
            return client;
        }

        if (_clients.Count >= MaxClients)
        {
            _clients.Values.MinBy(old => old.Deadline)!.Close();
        }

        FlowKey key;
        do
        {
            key = new FlowKey(_core.Plan.GuestV4, _guestPort, _core.Plan.GatewayV4, _nextPort);
            _nextPort = _nextPort == ushort.MaxValue ? FirstPort : (ushort)(_nextPort + 1);
        }
        while (_flows.IsForwarded(key));

        client = new UdpForwardClient(this, key, new IPEndPoint(sender.Address, sender.Port));
        _clients.Add(client.Client, client);
        _flows.AddForwarded(client);
        return client;
    }
}
