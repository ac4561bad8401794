using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>A UDP conversation that the guest has begun.</summary>
internal sealed class UdpFlow(NetworkCore core, FlowKey key, Socket socket, Action<DatagramFlow> onClosed)
    : DatagramFlow(core, key, socket, FirstLifetime, onClosed)
{
    // RFC 4787: at least two minutes once there are answers.
    private const int FirstLifetime = 60_000;
    private const int AnsweredLifetime = 180_000;

    /// <inheritdoc/>
    protected override bool Deliver(Span<byte> message)
    {
        Lifetime = AnsweredLifetime;
        return Core.Datagrams.Send((Key.Remote, Key.RemotePort), (Key.Guest, Key.GuestPort), message);
    }

    /// <inheritdoc/>
    protected override void OnError(SocketError error)
    {
        UnreachableReason? reason = error switch
        {
            // Windows says reset for what Linux calls refused.
            SocketError.ConnectionRefused or SocketError.ConnectionReset => UnreachableReason.Port,
            SocketError.HostUnreachable or SocketError.HostDown => UnreachableReason.Host,
            SocketError.NetworkUnreachable or SocketError.NetworkDown => UnreachableReason.Network,
            _ => null,
        };
        if (reason is { } known)
        {
            Core.Link.SendUnreachable(Key, IpProtocol.Udp, 0, known);
        }
    }
}
