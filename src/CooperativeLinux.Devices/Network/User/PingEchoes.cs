using System.Net;
using System.Net.NetworkInformation;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>Echo requests on Windows, which has no sockets for them that everybody may open, but a call (IcmpSendEcho2, Icmp6SendEcho2)
/// that .NET's <see cref="Ping"/> makes. Called with the network's lock held.</summary>
internal sealed class PingEchoes(NetworkCore core)
{
    private const int WaitMilliseconds = 10_000;

    // More at once are lost, as echo requests may be.
    private const int MaxWaiting = 64;

    private int _waiting;

    /// <summary>Sends a request of the guest; the answer comes back to it.</summary>
    /// <param name="packet">The request.</param>
    /// <param name="target">Where it goes.</param>
    public void Send(in IpPacket packet, IPAddress target)
    {
        if (_waiting == MaxWaiting)
        {
            return;
        }

        _waiting++;
        (NetworkAddress guest, NetworkAddress remote, byte[] request) = (packet.Source, packet.Target, packet.Payload.ToArray());
        _ = Task.Run(async () =>
        {
            byte[]? content = await AskAsync(target, request[Icmp.HeaderSize..]).ConfigureAwait(false);
            core.Enter(() => Deliver(guest, remote, request, content));
        });
    }

    private static async Task<byte[]?> AskAsync(IPAddress target, byte[] content)
    {
        try
        {
            using Ping ping = new();
            PingReply reply = await ping.SendPingAsync(target, WaitMilliseconds, content).ConfigureAwait(false);
            return reply.Status == IPStatus.Success ? reply.Buffer : null;
        }
        catch (PingException)
        {
            return null;
        }
    }

    private void Deliver(NetworkAddress guest, NetworkAddress remote, byte[] request, byte[]? content)
    {
        _waiting--;
        if (content is not null)
        {
            // The header with the guest's own number for it.
            byte[] reply = [.. request[..Icmp.HeaderSize], .. content];
            reply[0] = guest.IsV4 ? Icmp.EchoReplyV4 : Icmp.EchoReplyV6;
            core.Link.SendIcmp(remote, guest, reply);
        }
    }
}
