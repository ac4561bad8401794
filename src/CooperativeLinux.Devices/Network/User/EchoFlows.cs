using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>Echo requests of the guest: those to this network are answered, others go out where the host lets everybody send them.
/// Called with the network's lock held.</summary>
internal sealed class EchoFlows(NetworkCore core)
{
    private const int MaxFlows = 64;

    private readonly Dictionary<FlowKey, DatagramFlow> _flows = [];
    private readonly PingEchoes? _pings = OperatingSystem.IsWindows() ? new PingEchoes(core) : null;

    /// <summary>Takes an ICMP or ICMPv6 message from the guest.</summary>
    public void Receive(in IpPacket packet)
    {
        ReadOnlySpan<byte> message = packet.Payload;
        if (message.Length < Icmp.HeaderSize || message[0] != (packet.Source.IsV4 ? Icmp.EchoRequestV4 : Icmp.EchoRequestV6) || message[1] != 0)
        {
            return;
        }

        if (core.Plan.HasOutside && (core.Plan.IsGateway(packet.Target) || core.Plan.IsResolver(packet.Target)))
        {
            Answer(packet);
            return;
        }

        // The id takes the place of a port.
        FlowKey key = new(packet.Source, BinaryPrimitives.ReadUInt16BigEndian(message[4..]), packet.Target, 0);
        if (!_flows.TryGetValue(key, out DatagramFlow? flow))
        {
            if (!core.TryMap(packet.Target, 1, out IPEndPoint target, out UnreachableReason reason))
            {
                core.Link.SendUnreachable(packet, reason);
                return;
            }

            if (_pings is not null)
            {
                _pings.Send(packet, target.Address);
                return;
            }

            flow = Open(key, target.Address, packet);
        }

        flow?.Send(message);
    }

    public long Tick(long now)
    {
        foreach (DatagramFlow flow in _flows.Values.Where(flow => flow.Deadline <= now).ToList())
        {
            flow.Close();
        }

        return _flows.Count == 0 ? long.MaxValue : _flows.Values.Min(flow => flow.Deadline);
    }

    public void Clear()
    {
        foreach (DatagramFlow flow in _flows.Values.ToList())
        {
            flow.Close();
        }
    }

    private void Answer(in IpPacket packet)
    {
        byte[] reply = packet.Payload.ToArray();
        reply[0] = packet.Source.IsV4 ? Icmp.EchoReplyV4 : Icmp.EchoReplyV6;
        core.Link.SendIcmp(packet.Target, packet.Source, reply);
    }

    private DatagramFlow? Open(FlowKey key, IPAddress target, in IpPacket packet)
    {
        if (_flows.Count >= MaxFlows)
        {
            _flows.Values.MinBy(flow => flow.LastUse)!.Close();
        }

        Socket? socket = null;
        try
        {
            // Linux has sockets that may send nothing but echo requests; the kernel puts its own id in.
            socket = new Socket(target.AddressFamily, SocketType.Dgram, key.Guest.IsV4 ? ProtocolType.Icmp : ProtocolType.IcmpV6);
            socket.Connect(new IPEndPoint(target, 0));
        }
        catch (SocketException error)
        {
            core.Logger.LogDebug("The host lets nobody send echo requests: {Message}", error.Message);
            socket?.Dispose();
            core.Link.SendUnreachable(packet, UnreachableReason.Prohibited);
            return null;
        }

        EchoFlow flow = new(core, key, socket, closed => _flows.Remove(closed.Key));
        _flows.Add(key, flow);
        flow.Start();
        core.WakeAt(flow.Deadline);
        return flow;
    }

    private sealed class EchoFlow(NetworkCore core, FlowKey key, Socket socket, Action<DatagramFlow> onClosed)
        : DatagramFlow(core, key, socket, EchoLifetime, onClosed)
    {
        private const int EchoLifetime = 30_000;

        protected override bool Deliver(Span<byte> message)
        {
            byte wanted = Key.Guest.IsV4 ? Icmp.EchoReplyV4 : Icmp.EchoReplyV6;
            if (message.Length >= Icmp.HeaderSize && message[0] == wanted)
            {
                BinaryPrimitives.WriteUInt16BigEndian(message[4..], Key.GuestPort);
                Core.Link.SendIcmp(Key.Remote, Key.Guest, message);
            }

            return true;
        }

        protected override void OnError(SocketError error)
        {
            if (error is SocketError.HostUnreachable or SocketError.NetworkUnreachable)
            {
                Close();
            }
        }
    }
}
