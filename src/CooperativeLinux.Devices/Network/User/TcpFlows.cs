using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.Tcp;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>All TCP connections of the guest. Called with the network's lock held.</summary>
internal sealed class TcpFlows(NetworkCore core)
{
    /// <summary>Most connections at once; more are refused.</summary>
    public const int MaxFlows = 4096;

    // What all connections together may hold each way, about; each gets a share, within bounds.
    private const int MemoryBudget = 128 << 20;
    private const int LeastCapacity = 1 << 16, MostCapacity = 1 << 20, MostAhead = 1 << 18;

    // Ports of the gateway that stand for clients on the host.
    private const ushort FirstClientPort = 1024;

    private readonly Dictionary<FlowKey, TcpFlow> _flows = [];
    private readonly List<TcpFlow> _touched = [];
    private readonly Queue<TcpFlow> _waiting = new();
    private ushort _nextClientPort = FirstClientPort;

    public int Count => _flows.Count;

    /// <summary>Takes a segment from the guest; what follows from it is done at the end of the batch.</summary>
    public void Receive(in IpPacket packet)
    {
        if (!TcpHeader.TryRead(packet.Payload, out TcpHeader header, out ReadOnlySpan<byte> payload))
        {
            return;
        }

        FlowKey key = new(packet.Source, header.SourcePort, packet.Target, header.TargetPort);
        bool isOpening = header.Has(TcpFlags.Syn) && !header.Has(TcpFlags.Acknowledge) && !header.Has(TcpFlags.Reset);
        if (_flows.TryGetValue(key, out TcpFlow? flow))
        {
            if (!isOpening || flow.Endpoint.State != TcpState.TimeWait)
            {
                flow.Endpoint.Receive(header, payload, NetworkCore.Now);
                Touch(flow);
                return;
            }

            // The guest uses the port again.
            flow.Abort();
        }

        if (isOpening)
        {
            Open(key, header, packet);
        }
        else if (!header.Has(TcpFlags.Reset))
        {
            Refuse(key, header, payload.Length);
        }
    }

    /// <summary>Serves the connections that something came for.</summary>
    public void EndBatch()
    {
        // Serving may touch no others, but may remove some.
        foreach (TcpFlow flow in _touched)
        {
            flow.IsTouched = false;
            flow.Serve();
        }

        _touched.Clear();
    }

    /// <summary>The same, without moving bulk data.</summary>
    public void EndSmallBatch()
    {
        foreach (TcpFlow flow in _touched)
        {
            flow.IsTouched = false;
            flow.ServeBriefly();
        }

        _touched.Clear();
    }

    /// <summary>The guest has room: serves those that wait for it, in turn.</summary>
    public void OnRoom()
    {
        for (int count = _waiting.Count; count > 0; count--)
        {
            TcpFlow flow = _waiting.Dequeue();
            flow.IsWaitingForRoom = false;
            flow.Serve();
        }
    }

    public void WaitForRoom(TcpFlow flow)
    {
        if (!flow.IsWaitingForRoom)
        {
            flow.IsWaitingForRoom = true;
            _waiting.Enqueue(flow);
        }
    }

    /// <summary>Does what is due.</summary>
    /// <returns>When something is due next.</returns>
    public long Tick(long now)
    {
        foreach (TcpFlow flow in _flows.Values.Where(flow => flow.Endpoint.Deadline <= now).ToList())
        {
            flow.Endpoint.Tick(now);
            flow.Serve();
        }

        return _flows.Count == 0 ? TcpEndpoint.Never : _flows.Values.Min(flow => flow.Endpoint.Deadline);
    }

    /// <summary>A client on the host has connected to a forwarded port.</summary>
    public void OpenForward(Socket client, ushort guestPort)
    {
        FlowKey key = default;
        int tries = 0;
        do
        {
            key = new FlowKey(core.Plan.GuestV4, guestPort, core.Plan.GatewayV4, _nextClientPort);
            _nextClientPort = _nextClientPort == ushort.MaxValue ? FirstClientPort : (ushort)(_nextClientPort + 1);
        }
        while (_flows.ContainsKey(key) && ++tries <= MaxFlows);

        if (core.Link.Port is null || _flows.Count >= MaxFlows)
        {
            client.Dispose();
            return;
        }

        client.NoDelay = true;
        TcpFlow flow = new(this, core, key, client, 0);
        _flows.Add(key, flow);
        flow.ConnectGuest();
        flow.Serve();
    }

    /// <summary>Sizes for one connection more: less for each when there are many, whatever the guest does.</summary>
    public TcpLimits LimitsFor(int segmentSize)
    {
        int capacity = Math.Clamp(MemoryBudget / (_flows.Count + 1), LeastCapacity, MostCapacity);
        return new TcpLimits(segmentSize, capacity, capacity, Math.Min(capacity, MostAhead));
    }

    public void Remove(TcpFlow flow) => _flows.Remove(flow.Key);

    /// <summary>Ends all connections, on both sides.</summary>
    public void Clear()
    {
        foreach (TcpFlow flow in _flows.Values.ToList())
        {
            flow.Abort();
        }

        _touched.Clear();
        _waiting.Clear();
    }

    private void Touch(TcpFlow flow)
    {
        if (!flow.IsTouched)
        {
            flow.IsTouched = true;
            _touched.Add(flow);
        }
    }

    private void Open(in FlowKey key, in TcpHeader syn, in IpPacket packet)
    {
        if (!core.TryMap(key.Remote, key.RemotePort, out IPEndPoint target, out UnreachableReason reason))
        {
            core.Link.SendUnreachable(packet, reason);
            return;
        }

        Socket? socket = _flows.Count < MaxFlows ? TryCreate(target.AddressFamily) : null;
        if (socket is null)
        {
            Refuse(key, syn, 0);
            return;
        }

        TcpFlow flow = new(this, core, key, socket, syn.Sequence);
        _flows.Add(key, flow);
        flow.ConnectHost(syn, target);
    }

    private Socket? TryCreate(AddressFamily family)
    {
        try
        {
            Socket socket = new(family, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

            // A peer that is gone without a word is noticed in the end.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            return socket;
        }
        catch (SocketException error)
        {
            core.Logger.LogDebug("No socket for a connection of the guest: {Message}", error.Message);
            return null;
        }
    }

    private void Refuse(in FlowKey key, in TcpHeader header, int length)
    {
        int size = length + (header.Has(TcpFlags.Syn) ? 1 : 0) + (header.Has(TcpFlags.Fin) ? 1 : 0);
        TcpHeader reset = header.Has(TcpFlags.Acknowledge)
            ? new TcpHeader(key.RemotePort, key.GuestPort, header.Acknowledgement, 0, TcpFlags.Reset, 0)
            : new TcpHeader(key.RemotePort, key.GuestPort, 0, header.Sequence + (uint)size, TcpFlags.Reset | TcpFlags.Acknowledge, 0);
        Span<byte> bytes = stackalloc byte[TcpHeader.MaxSize];
        int headerSize = reset.Write(bytes);
        ushort sum = InternetChecksum.PseudoHeader(key.Remote, key.Guest, IpProtocol.Tcp, headerSize);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(bytes[TcpHeader.ChecksumOffset..], sum);
        core.Link.TrySend(key.Remote, key.Guest, IpProtocol.Tcp, bytes[..headerSize], default, default, new FrameOffload(FrameChecksum.Partial));
    }
}
