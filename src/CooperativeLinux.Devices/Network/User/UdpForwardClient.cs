using System.Net;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>A client on the host of a forwarded UDP port. Called with the network's lock held.</summary>
internal sealed class UdpForwardClient(UdpForward forward, FlowKey key, EndPoint client)
{
    private const int Lifetime = 180_000;

    private long _lastUse = NetworkCore.Now;

    /// <summary>Both ends, as the guest sees them.</summary>
    public FlowKey Key => key;

    public EndPoint Client => client;

    public long Deadline => _lastUse + Lifetime;

    public void Use() => _lastUse = NetworkCore.Now;

    /// <summary>Sends the guest's answer.</summary>
    public void Send(ReadOnlySpan<byte> payload)
    {
        Use();
        forward.Send(payload, client);
    }

    public void Close() => forward.Remove(this);
}
