using System.Buffers.Binary;
using CooperativeLinux.Devices.Network.User;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>Neighbours and routers of IPv6 (RFC 4861), and name servers told by routers (RFC 8106).</summary>
internal static class NeighbourDiscovery
{
    public const byte RouterSolicitation = 133, RouterAdvertisement = 134, NeighbourSolicitation = 135, NeighbourAdvertisement = 136;

    /// <summary>Hop limit of every message, so that none can have come through a router.</summary>
    public const byte HopLimit = 255;

    /// <summary>Bytes of the longest frame written here.</summary>
    public const int MaxFrame = 160;

    /// <summary>Time between router advertisements nobody asked for.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMinutes(15);

    private const byte SourceLink = 1, TargetLink = 2, PrefixOption = 3, MtuOption = 5, ResolverOption = 25;
    private const ushort RouterLifetime = 9000;
    private const uint Forever = 0xffff_ffff;

    /// <summary>Reads whose Ethernet address is asked for.</summary>
    public static bool TryReadSolicitation(ReadOnlySpan<byte> message, out NetworkAddress target)
    {
        target = default;
        if (message.Length < 24 || message[0] != NeighbourSolicitation || message[1] != 0)
        {
            return false;
        }

        target = NetworkAddress.ReadV6(message[8..]);
        return true;
    }

    /// <summary>Writes a frame that tells the gateway's Ethernet address.</summary>
    /// <param name="frame">Where, at least <see cref="MaxFrame"/> bytes.</param>
    /// <param name="plan">Addresses.</param>
    /// <param name="address">Address asked for.</param>
    /// <param name="to">Who asked; the unspecified address if it has none yet.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteAdvertisement(Span<byte> frame, AddressPlan plan, NetworkAddress address, (MacAddress Mac, NetworkAddress Ip) to)
    {
        bool isAnonymous = to.Ip.Bits == 0;
        Span<byte> message = stackalloc byte[32];
        message.Clear();
        message[0] = NeighbourAdvertisement;

        // Router, solicited, override.
        message[4] = (byte)(isAnonymous ? 0xa0 : 0xe0);
        address.Write(message[8..]);
        WriteLink(message[24..], TargetLink, plan.GatewayMac);
        return WriteMessage(frame, message, (plan.GatewayMac, address), isAnonymous ? (to.Mac, plan.AllNodes) : to);
    }

    /// <summary>Writes a frame that asks for a guest's Ethernet address.</summary>
    public static int WriteSolicitation(Span<byte> frame, AddressPlan plan, (MacAddress Mac, NetworkAddress Ip) target)
    {
        Span<byte> message = stackalloc byte[32];
        message.Clear();
        message[0] = NeighbourSolicitation;
        target.Ip.Write(message[8..]);
        WriteLink(message[24..], SourceLink, plan.GatewayMac);
        return WriteMessage(frame, message, (plan.GatewayMac, target.Ip.IsLinkLocal ? plan.RouterV6 : plan.GatewayV6), target);
    }

    /// <summary>Writes a frame that tells prefix, router and name server.</summary>
    public static int WriteRouterAdvertisement(Span<byte> frame, AddressPlan plan, (MacAddress Mac, NetworkAddress Ip) to)
    {
        Span<byte> message = stackalloc byte[96];
        message.Clear();
        message[0] = RouterAdvertisement;
        message[4] = 64;
        BinaryPrimitives.WriteUInt16BigEndian(message[6..], plan.HasOutside ? RouterLifetime : (ushort)0);
        int length = 16;
        WriteLink(message[length..], SourceLink, plan.GatewayMac);
        length += 8;

        Span<byte> mtu = message[length..];
        mtu[0] = MtuOption;
        mtu[1] = 1;
        BinaryPrimitives.WriteInt32BigEndian(mtu[4..], NetworkLimits.Mtu);
        length += 8;

        // On-link, and for addresses that guests make themselves.
        Span<byte> prefix = message[length..];
        prefix[0] = PrefixOption;
        prefix[1] = 4;
        prefix[2] = 64;
        prefix[3] = 0xc0;
        BinaryPrimitives.WriteUInt32BigEndian(prefix[4..], Forever);
        BinaryPrimitives.WriteUInt32BigEndian(prefix[8..], Forever);
        BinaryPrimitives.WriteUInt64BigEndian(prefix[16..], plan.GatewayV6.Prefix);
        length += 32;

        if (plan.HasOutside)
        {
            Span<byte> resolver = message[length..];
            resolver[0] = ResolverOption;
            resolver[1] = 3;
            BinaryPrimitives.WriteUInt32BigEndian(resolver[4..], RouterLifetime);
            plan.ResolverV6.Write(resolver[8..]);
            length += 24;
        }

        return WriteMessage(frame, message[..length], (plan.GatewayMac, plan.RouterV6), to);
    }

    /// <summary>Ethernet address of an IPv6 group.</summary>
    public static MacAddress GroupMac(NetworkAddress group) => new(0x3333_0000_0000UL | (uint)group.Bits);

    private static void WriteLink(Span<byte> option, byte type, MacAddress address)
    {
        option[0] = type;
        option[1] = 1;
        address.Write(option[2..]);
    }

    private static int WriteMessage(Span<byte> frame, Span<byte> message, (MacAddress Mac, NetworkAddress Ip) from, (MacAddress Mac, NetworkAddress Ip) to)
    {
        MacAddress mac = to.Ip.IsGroup ? GroupMac(to.Ip) : to.Mac;
        int length = FrameWriter.WriteIp(frame, (mac, from.Mac), from.Ip, to.Ip, IpProtocol.IcmpV6, message.Length, HopLimit);
        ushort sum = InternetChecksum.Sum(message, InternetChecksum.PseudoHeader(from.Ip, to.Ip, IpProtocol.IcmpV6, message.Length));
        BinaryPrimitives.WriteUInt16BigEndian(message[2..], InternetChecksum.Finish(sum));
        message.CopyTo(frame[length..]);
        return length + message.Length;
    }
}
