using System.Buffers.Binary;
using System.Net;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>
/// A network with the guest, the host and the rest of the world behind it, made of nothing but ordinary sockets: it answers the guest
/// as a router, name server and DHCP server would, and ends its connections here to continue them with sockets of the host.
/// </summary>
public sealed class UserNetwork : INetwork
{
    private readonly NetworkCore _core;
    private readonly TcpFlows _tcp;
    private readonly UdpFlows _udp;
    private readonly EchoFlows _echo;
    private readonly Dhcp _dhcp;
    private readonly FragmentReassembler _fragments = new();
    private readonly List<TcpForward> _tcpForwards = [];
    private readonly List<UdpForward> _udpForwards = [];
    private long _advertiseAt = long.MaxValue;

    /// <exception cref="NetworkException">A port to be forwarded cannot be had.</exception>
    public UserNetwork(UserNetworkOptions options)
    {
        _core = new NetworkCore(options, Tick);
        _tcp = new TcpFlows(_core);
        _udp = new UdpFlows(_core);
        _echo = new EchoFlows(_core);
        _dhcp = new Dhcp(_core.Plan);
        try
        {
            foreach (PortForward forward in options.Forwards)
            {
                Listen(forward);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Where the forwards listen, TCP before UDP.</summary>
    public IReadOnlyList<IPEndPoint> ForwardEndPoints =>
        [.. _tcpForwards.Select(forward => forward.LocalEndPoint), .. _udpForwards.Select(forward => forward.LocalEndPoint)];

    /// <summary>TCP connections now.</summary>
    public int ConnectionCount
    {
        get
        {
            lock (_core.Gate)
            {
                return _tcp.Count;
            }
        }
    }

    /// <inheritdoc/>
    public void Attach(INetworkPort port)
    {
        lock (_core.Gate)
        {
            Forget();
            _core.Datagrams.Clear();
            _core.Link.SetPort(port);
        }
    }

    /// <inheritdoc/>
    public void Detach(INetworkPort port)
    {
        lock (_core.Gate)
        {
            if (ReferenceEquals(_core.Link.Port, port))
            {
                Forget();
                _core.Datagrams.Clear();
                _core.Link.SetPort(null);
            }
        }
    }

    /// <inheritdoc/>
    public void Transmit(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (frame.Length < Ethernet.HeaderSize)
        {
            return;
        }

        lock (_core.Gate)
        {
            if (_core.IsClosed)
            {
                return;
            }

            MacAddress sender = MacAddress.Read(frame[Ethernet.SourceOffset..]);
            ReadOnlySpan<byte> content = frame[Ethernet.HeaderSize..];
            switch (BinaryPrimitives.ReadUInt16BigEndian(frame[Ethernet.TypeOffset..]))
            {
                case Ethernet.TypeArp:
                    ReceiveArp(content);
                    break;
                case Ethernet.TypeIpV4 when IpPacket.TryReadV4(content, out IpPacket packet):
                    ReceiveIp(packet, sender, offload);
                    break;
                case Ethernet.TypeIpV6 when IpPacket.TryReadV6(content, out IpPacket packet):
                    ReceiveIp(packet, sender, offload);
                    break;
            }
        }
    }

    /// <inheritdoc/>
    public void EndBatch()
    {
        lock (_core.Gate)
        {
            _tcp.EndBatch();
        }
    }

    /// <inheritdoc/>
    public bool TryBeginSmallBatch() => _core.Gate.TryEnter();

    /// <inheritdoc/>
    public void EndSmallBatch()
    {
        try
        {
            _tcp.EndSmallBatch();
        }
        finally
        {
            _core.Gate.Exit();
        }
    }

    /// <inheritdoc/>
    public void OnRoom()
    {
        lock (_core.Gate)
        {
            _core.OnRoom();
            _tcp.OnRoom();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_core.Gate)
        {
            Forget();
            _core.Link.SetPort(null);
            _core.Dispose();
        }

        _tcpForwards.ForEach(forward => forward.Dispose());
        _udpForwards.ForEach(forward => forward.Dispose());
    }

    private void Listen(PortForward setting)
    {
        if (setting.IsTcp)
        {
            TcpForward forward = new(_core, _tcp, setting);
            _tcpForwards.Add(forward);
            forward.Start();
        }
        else
        {
            UdpForward forward = new(_core, _udp, setting);
            _udpForwards.Add(forward);
            forward.Start();
        }
    }

    private void Forget()
    {
        _tcp.Clear();
        _udp.Clear();
        _echo.Clear();
        _fragments.Clear();
        _advertiseAt = long.MaxValue;
    }

    private void Tick()
    {
        long now = NetworkCore.Now;
        long next = Math.Min(_tcp.Tick(now), Math.Min(_udp.Tick(now), _echo.Tick(now)));
        if (now >= _advertiseAt)
        {
            Advertise((default, _core.Plan.AllNodes));
        }

        _core.WakeAt(Math.Min(next, _advertiseAt));
    }

    private void ReceiveArp(ReadOnlySpan<byte> content)
    {
        if (!Arp.TryRead(content, out (MacAddress Mac, NetworkAddress Ip) sender, out NetworkAddress target, out bool isRequest))
        {
            return;
        }

        if (_core.Plan.IsGuest(sender.Ip))
        {
            _core.Link.Learn(sender.Ip, sender.Mac);
        }

        if (isRequest && (_core.Plan.IsGateway(target) || _core.Plan.IsResolver(target)))
        {
            Span<byte> frame = stackalloc byte[Ethernet.HeaderSize + Arp.Size];
            Arp.WriteReply(frame, (_core.Plan.GatewayMac, target), sender);
            _core.Link.TrySendFrame(frame);
        }
    }

    private void ReceiveIp(in IpPacket packet, MacAddress sender, FrameOffload offload)
    {
        bool isGuest = _core.Plan.IsGuest(packet.Source);
        if (isGuest)
        {
            _core.Link.Learn(packet.Source, sender);
        }
        else if (!IsFromNobody(packet))
        {
            return;
        }

        if (!packet.IsFragment)
        {
            Dispatch(packet, sender, offload);
        }
        else if (_fragments.TryComplete(packet, NetworkCore.Now, out ReadOnlySpan<byte> payload))
        {
            // Fragments have no offload.
            IpPacket whole = new() { Payload = payload, Source = packet.Source, Target = packet.Target, Protocol = packet.Protocol };
            Dispatch(whole, sender, default);
        }
    }

    // A guest that has no address yet asks for one.
    private static bool IsFromNobody(in IpPacket packet) =>
        packet.Source.IsV4 ? packet.Source.V4 == 0 && packet.Protocol == IpProtocol.Udp : packet.Source.Bits == 0 && packet.Protocol == IpProtocol.IcmpV6;

    private void Dispatch(in IpPacket packet, MacAddress sender, FrameOffload offload)
    {
        bool isKnown = offload.Checksum != FrameChecksum.Unverified;
        switch (packet.Protocol)
        {
            case IpProtocol.Tcp when isKnown || packet.HasGoodChecksum():
                if (!packet.Target.IsGroup && _core.Plan.IsGuest(packet.Source))
                {
                    _tcp.Receive(packet);
                }

                break;
            case IpProtocol.Udp when isKnown || HasGoodUdpChecksum(packet):
                ReceiveUdp(packet);
                break;
            case IpProtocol.Icmp when packet.Source.IsV4 && InternetChecksum.Sum(packet.Payload) == 0xffff:
                if (!packet.Target.IsGroup)
                {
                    _echo.Receive(packet);
                }

                break;
            case IpProtocol.IcmpV6 when !packet.Source.IsV4 && packet.HasGoodChecksum():
                ReceiveIcmpV6(packet, sender);
                break;
        }
    }

    private static bool HasGoodUdpChecksum(in IpPacket packet)
    {
        bool isAbsent = packet.Source.IsV4 && packet.Payload.Length >= FrameWriter.UdpHeaderSize && BinaryPrimitives.ReadUInt16BigEndian(packet.Payload[6..]) == 0;
        return isAbsent || packet.HasGoodChecksum();
    }

    private void ReceiveUdp(in IpPacket packet)
    {
        ReadOnlySpan<byte> payload = packet.Payload;
        if (payload.Length < FrameWriter.UdpHeaderSize)
        {
            return;
        }

        if (packet.Source.IsV4 && BinaryPrimitives.ReadUInt16BigEndian(payload[2..]) == Dhcp.ServerPort)
        {
            ReceiveDhcp(payload[FrameWriter.UdpHeaderSize..]);
        }
        else if (_core.Plan.IsGuest(packet.Source) && !packet.Target.IsGroup && !IsBroadcast(packet.Target))
        {
            _udp.Receive(packet);
        }
    }

    private bool IsBroadcast(NetworkAddress address) =>
        address.IsV4 && (address.V4 == uint.MaxValue || (_core.Plan.IsLocal(address) && (address.V4 | AddressPlan.MaskV4) == uint.MaxValue));

    private void ReceiveDhcp(ReadOnlySpan<byte> message)
    {
        Span<byte> reply = stackalloc byte[Dhcp.MaxReply];
        int length = _dhcp.Answer(message, reply, out bool toAll);
        if (length > 0)
        {
            NetworkAddress target = toAll ? NetworkAddress.Of(uint.MaxValue) : _core.Plan.GuestV4;
            _core.Link.SendUdp((_core.Plan.GatewayV4, Dhcp.ServerPort), (target, Dhcp.ClientPort), reply[..length]);
        }
    }

    private void ReceiveIcmpV6(in IpPacket packet, MacAddress sender)
    {
        ReadOnlySpan<byte> message = packet.Payload;
        if (message.Length < Icmp.HeaderSize)
        {
            return;
        }

        if (message[0] == NeighbourDiscovery.RouterSolicitation && packet.HopLimit == NeighbourDiscovery.HopLimit)
        {
            Advertise(packet.Source.Bits == 0 ? (default, _core.Plan.AllNodes) : (sender, packet.Source));
        }
        else if (packet.HopLimit == NeighbourDiscovery.HopLimit && NeighbourDiscovery.TryReadSolicitation(message, out NetworkAddress target))
        {
            AnswerSolicitation(packet, sender, target);
        }
        else if (!packet.Target.IsGroup)
        {
            _echo.Receive(packet);
        }
    }

    private void AnswerSolicitation(in IpPacket packet, MacAddress sender, NetworkAddress target)
    {
        if (_core.Plan.IsGateway(target) || _core.Plan.IsResolver(target))
        {
            Span<byte> frame = stackalloc byte[NeighbourDiscovery.MaxFrame];
            int length = NeighbourDiscovery.WriteAdvertisement(frame, _core.Plan, target, (sender, packet.Source));
            _core.Link.TrySendFrame(frame[..length]);
        }
        else if (packet.Source.Bits == 0 && _advertiseAt == long.MaxValue)
        {
            // A guest that makes itself an address will ask for routers, but only in a second or two.
            Advertise((default, _core.Plan.AllNodes));
        }
    }

    private void Advertise((MacAddress Mac, NetworkAddress Ip) to)
    {
        Span<byte> frame = stackalloc byte[NeighbourDiscovery.MaxFrame];
        int length = NeighbourDiscovery.WriteRouterAdvertisement(frame, _core.Plan, to);
        _core.Link.TrySendFrame(frame[..length]);
        _advertiseAt = NetworkCore.Now + (long)NeighbourDiscovery.Interval.TotalMilliseconds;
        _core.WakeAt(_advertiseAt);
    }
}
