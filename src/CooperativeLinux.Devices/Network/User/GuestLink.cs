using System.Buffers.Binary;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>The wire to the guest: makes frames of packets. Called with the network's lock held.</summary>
internal sealed class GuestLink
{
    private const int MaxNeighbours = 64;
    private const int MaxTransportHeader = 28;

    private readonly AddressPlan _plan;
    private readonly MacAddress _expected;
    private readonly Dictionary<NetworkAddress, MacAddress> _neighbours = [];
    private MacAddress _last;

    /// <param name="plan">Addresses.</param>
    /// <param name="expected">The guest's Ethernet address until it is heard.</param>
    public GuestLink(AddressPlan plan, MacAddress expected)
    {
        _plan = plan;
        _expected = expected;
        _last = expected;
    }

    /// <summary>The guest, while it is there.</summary>
    public INetworkPort? Port { get; private set; }

    /// <summary>Plugs another guest in, or none.</summary>
    public void SetPort(INetworkPort? port)
    {
        Port = port;
        _neighbours.Clear();
        _last = _expected;
    }

    /// <summary>Notes which Ethernet address stands for an address of the guest.</summary>
    public void Learn(NetworkAddress address, MacAddress mac)
    {
        if (mac.IsGroup || mac == default)
        {
            return;
        }

        _last = mac;
        if (_neighbours.Count >= MaxNeighbours && !_neighbours.ContainsKey(address))
        {
            _neighbours.Clear();
        }

        _neighbours[address] = mac;
    }

    /// <summary>Sends a frame that is complete.</summary>
    /// <returns>False if it was dropped.</returns>
    public bool TrySendFrame(ReadOnlySpan<byte> frame) =>
        Port is { } port && port.TryDeliver(frame, default, default, new FrameOffload(FrameChecksum.Verified));

    /// <summary>Sends an IP packet.</summary>
    /// <param name="source">Sender.</param>
    /// <param name="target">The guest's address.</param>
    /// <param name="protocol">A number of <see cref="IpProtocol"/>.</param>
    /// <param name="header">Start of its payload, at most 28 bytes.</param>
    /// <param name="payload">What follows.</param>
    /// <param name="rest">What follows that.</param>
    /// <param name="offload">What is left undone.</param>
    /// <returns>False if there is no room.</returns>
    public bool TrySend(
        NetworkAddress source, NetworkAddress target, byte protocol, ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, FrameOffload offload)
    {
        if (Port is not { } port)
        {
            return true;
        }

        Span<byte> start = stackalloc byte[FrameWriter.MaxHeaderSize + MaxTransportHeader];
        MacAddress mac = _neighbours.GetValueOrDefault(target, _last);
        int length = FrameWriter.WriteIp(start, (mac, _plan.GatewayMac), source, target, protocol, header.Length + payload.Length + rest.Length);
        header.CopyTo(start[length..]);
        return port.TryDeliver(start[..(length + header.Length)], payload, rest, offload);
    }

    /// <summary>Sends a UDP datagram.</summary>
    /// <returns>False if there is no room.</returns>
    public bool SendUdp((NetworkAddress Address, ushort Port) source, (NetworkAddress Address, ushort Port) target, ReadOnlySpan<byte> payload)
    {
        Span<byte> header = stackalloc byte[FrameWriter.UdpHeaderSize];
        FrameWriter.WriteUdp(header, source, target, payload.Length);
        return TrySend(source.Address, target.Address, IpProtocol.Udp, header, payload, default, new FrameOffload(FrameChecksum.Partial));
    }

    /// <summary>Sends a control message, whose checksum is put in.</summary>
    public void SendIcmp(NetworkAddress source, NetworkAddress target, Span<byte> message)
    {
        Icmp.Seal(message, source, target);
        byte protocol = source.IsV4 ? IpProtocol.Icmp : IpProtocol.IcmpV6;
        TrySend(source, target, protocol, message[..Icmp.HeaderSize], message[Icmp.HeaderSize..], default, new FrameOffload(FrameChecksum.Verified));
    }

    /// <summary>Tells the sender of a packet that it is not delivered.</summary>
    public void SendUnreachable(in IpPacket packet, UnreachableReason reason) =>
        SendUnreachable(packet.Whole, packet.Source, reason);

    /// <summary>Tells the sender of an earlier packet that it was not delivered.</summary>
    /// <param name="key">The conversation.</param>
    /// <param name="protocol">TCP or UDP.</param>
    /// <param name="sequence">TCP: sequence number of the packet.</param>
    /// <param name="reason">Why.</param>
    public void SendUnreachable(in FlowKey key, byte protocol, uint sequence, UnreachableReason reason)
    {
        // The part of the packet by which the sender recognises it.
        const int QuotedSize = 8;
        Span<byte> frame = stackalloc byte[FrameWriter.MaxHeaderSize + QuotedSize];
        frame.Clear();
        int length = FrameWriter.WriteIp(frame, default, key.Guest, key.Remote, protocol, QuotedSize);
        Span<byte> transport = frame[length..];
        BinaryPrimitives.WriteUInt16BigEndian(transport, key.GuestPort);
        BinaryPrimitives.WriteUInt16BigEndian(transport[2..], key.RemotePort);
        BinaryPrimitives.WriteUInt32BigEndian(transport[4..], protocol == IpProtocol.Tcp ? sequence : QuotedSize << 16);
        SendUnreachable(frame[Ethernet.HeaderSize..(length + QuotedSize)], key.Guest, reason);
    }

    private void SendUnreachable(ReadOnlySpan<byte> packet, NetworkAddress sender, UnreachableReason reason)
    {
        Span<byte> message = stackalloc byte[1400];
        int length = Icmp.WriteUnreachable(message, sender.IsV4, reason, packet);
        SendIcmp(sender.IsV4 ? _plan.GatewayV4 : _plan.GatewayV6, sender, message[..length]);
    }
}
