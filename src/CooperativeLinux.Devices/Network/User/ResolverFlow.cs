using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>Questions of the guest to a name server of the host.</summary>
internal sealed class ResolverFlow(NetworkCore core, FlowKey key, Socket socket, IPEndPoint resolver, Action<DatagramFlow> onClosed)
    : DatagramFlow(core, key, socket, QueryLifetime, onClosed)
{
    private const int QueryLifetime = 20_000;

    public IPEndPoint Resolver { get; } = resolver;

    /// <inheritdoc/>
    protected override bool Deliver(Span<byte> message) =>
        Core.Datagrams.Send((Key.Remote, Key.RemotePort), (Key.Guest, Key.GuestPort), message);

    /// <inheritdoc/>
    protected override void OnError(SocketError error)
    {
        // The next question goes to the next name server; this one was in vain.
        Core.Resolvers.Skip(Resolver, NetworkCore.Now);
        Core.Link.SendUnreachable(Key, IpProtocol.Udp, 0, UnreachableReason.Port);
        Close();
    }
}
