using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>All UDP conversations of the guest. Called with the network's lock held.</summary>
internal sealed class UdpFlows(NetworkCore core)
{
    /// <summary>Most conversations at once; the one that was quiet for longest makes room for a new one.</summary>
    public const int MaxFlows = 2048;

    // A name server that has not answered by then does not get the question again.
    private const int ResolverPatience = 900;

    private readonly Dictionary<FlowKey, DatagramFlow> _flows = [];
    private readonly Dictionary<FlowKey, UdpForwardClient> _forwarded = [];

    public int Count => _flows.Count;

    /// <summary>Takes a datagram from the guest.</summary>
    public void Receive(in IpPacket packet)
    {
        ReadOnlySpan<byte> bytes = packet.Payload;
        int length = bytes.Length < FrameWriter.UdpHeaderSize ? 0 : BinaryPrimitives.ReadUInt16BigEndian(bytes[4..]);
        if (length < FrameWriter.UdpHeaderSize || length > bytes.Length)
        {
            return;
        }

        FlowKey key = new(packet.Source, BinaryPrimitives.ReadUInt16BigEndian(bytes), packet.Target, BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]));
        ReadOnlySpan<byte> payload = bytes[FrameWriter.UdpHeaderSize..length];
        if (_forwarded.TryGetValue(key, out UdpForwardClient? client))
        {
            client.Send(payload);
        }
        else if (Find(key, packet) is { } flow)
        {
            flow.Send(payload);
        }
    }

    /// <summary>Closes what has been quiet for long.</summary>
    /// <returns>When something is due next.</returns>
    public long Tick(long now)
    {
        foreach (DatagramFlow flow in _flows.Values.Where(flow => flow.Deadline <= now).ToList())
        {
            flow.Close();
        }

        foreach (UdpForwardClient client in _forwarded.Values.Where(client => client.Deadline <= now).ToList())
        {
            client.Close();
        }

        long next = _flows.Count == 0 ? long.MaxValue : _flows.Values.Min(flow => flow.Deadline);
        return _forwarded.Count == 0 ? next : Math.Min(next, _forwarded.Values.Min(client => client.Deadline));
    }

    public void Clear()
    {
        foreach (DatagramFlow flow in _flows.Values.ToList())
        {
            flow.Close();
        }

        foreach (UdpForwardClient client in _forwarded.Values.ToList())
        {
            client.Close();
        }
    }

    /// <summary>Whether a client of a forward uses the pair of ends.</summary>
    public bool IsForwarded(in FlowKey key) => _forwarded.ContainsKey(key);

    public void AddForwarded(UdpForwardClient client)
    {
        _forwarded.Add(client.Key, client);
        core.WakeAt(client.Deadline);
    }

    public void RemoveForwarded(UdpForwardClient client) => _forwarded.Remove(client.Key);

    private DatagramFlow? Find(in FlowKey key, in IpPacket packet)
    {
        long now = NetworkCore.Now;
        if (_flows.TryGetValue(key, out DatagramFlow? flow))
        {
            bool isSilent = flow.Unanswered > 0 && now - flow.LastUse >= ResolverPatience;
            if (!core.Plan.IsResolver(key.Remote) || !isSilent || flow is not ResolverFlow resolver)
            {
                return flow;
            }

            core.Resolvers.Skip(resolver.Resolver, now);
            flow.Close();
        }

        if (!core.TryMap(key.Remote, key.RemotePort, out IPEndPoint target, out UnreachableReason reason))
        {
            core.Link.SendUnreachable(packet, reason);
            return null;
        }

        return Open(key, target, packet);
    }

    private DatagramFlow? Open(FlowKey key, IPEndPoint target, in IpPacket packet)
    {
        if (_flows.Count >= MaxFlows)
        {
            _flows.Values.MinBy(flow => flow.LastUse)!.Close();
        }

        Socket? socket = null;
        try
        {
            socket = new Socket(target.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(target);
        }
        catch (SocketException error)
        {
            core.Logger.LogDebug("No socket for a UDP conversation of the guest: {Message}", error.Message);
            socket?.Dispose();
            core.Link.SendUnreachable(packet, error.SocketErrorCode == SocketError.HostUnreachable ? UnreachableReason.Host : UnreachableReason.Network);
            return null;
        }

        DatagramFlow flow = core.Plan.IsResolver(key.Remote)
            ? new ResolverFlow(core, key, socket, target, Remove)
            : new UdpFlow(core, key, socket, Remove);
        _flows.Add(key, flow);
        flow.Start();
        core.WakeAt(flow.Deadline);
        return flow;
    }

    private void Remove(DatagramFlow flow) => _flows.Remove(flow.Key);
}
