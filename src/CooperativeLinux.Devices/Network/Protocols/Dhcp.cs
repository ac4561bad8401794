using System.Buffers.Binary;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>A DHCP server for a network with one client (RFC 2131): it always has the same answer.</summary>
internal sealed class Dhcp(User.AddressPlan plan)
{
    /// <summary>UDP ports.</summary>
    public const ushort ServerPort = 67, ClientPort = 68;

    /// <summary>Bytes of the longest answer.</summary>
    public const int MaxReply = 400;

    private const int FixedSize = 240;
    private const int ClientAddress = 12, YourAddress = 16, ServerAddress = 20, HardwareAddress = 28, Cookie = 236;
    private const uint MagicCookie = 0x6382_5363;
    private const byte BootRequest = 1, BootReply = 2;
    private const byte Discover = 1, Offer = 2, Request = 3, Acknowledge = 5, Refuse = 6, Inform = 8;
    private const int LeaseSeconds = 7 * 24 * 3600;

    /// <summary>Answers a message.</summary>
    /// <param name="message">UDP payload.</param>
    /// <param name="reply">Where the answer goes, at least <see cref="MaxReply"/> bytes.</param>
    /// <param name="toAll">Whether the answer is to be sent to all stations.</param>
    /// <returns>Bytes of the answer; 0 if none is due.</returns>
    public int Answer(ReadOnlySpan<byte> message, Span<byte> reply, out bool toAll)
    {
        toAll = true;
        if (message.Length < FixedSize || message[0] != BootRequest || message[1] != 1 || message[2] != MacAddress.Size
            || BinaryPrimitives.ReadUInt32BigEndian(message[Cookie..]) != MagicCookie)
        {
            return 0;
        }

        ReadOnlySpan<byte> options = message[FixedSize..];
        ReadOnlySpan<byte> type = Find(options, DhcpOption.MessageType);
        ReadOnlySpan<byte> server = Find(options, DhcpOption.Server);
        if (type.Length != 1 || (server.Length == 4 && NetworkAddress.ReadV4(server) != plan.GatewayV4))
        {
            return 0;
        }

        byte answer = type[0] switch
        {
            Discover => Offer,
            Request => IsOurs(message, options) ? Acknowledge : Refuse,
            Inform => Acknowledge,
            _ => 0,
        };
        if (answer == 0)
        {
            return 0;
        }

        reply[..MaxReply].Clear();
        message[..ServerAddress].CopyTo(reply);
        message.Slice(HardwareAddress, 16).CopyTo(reply[HardwareAddress..]);
        reply[0] = BootReply;
        reply[3] = 0;
        if (answer != Refuse && type[0] != Inform)
        {
            plan.GuestV4.Write(reply[YourAddress..]);
        }

        if (answer == Refuse)
        {
            reply.Slice(ClientAddress, 4).Clear();
        }

        plan.GatewayV4.Write(reply[ServerAddress..]);
        BinaryPrimitives.WriteUInt32BigEndian(reply[Cookie..], MagicCookie);
        toAll = answer == Refuse || (message[10] & 0x80) != 0;
        return FixedSize + WriteOptions(reply[FixedSize..], answer, isLease: type[0] != Inform);
    }

    private static ReadOnlySpan<byte> Find(ReadOnlySpan<byte> options, byte wanted)
    {
        while (options.Length >= 2 && options[0] != DhcpOption.End)
        {
            if (options[0] == DhcpOption.Pad)
            {
                options = options[1..];
                continue;
            }

            int size = options[1];
            if (options.Length < 2 + size)
            {
                break;
            }

            if (options[0] == wanted)
            {
                return options.Slice(2, size);
            }

            options = options[(2 + size)..];
        }

        return default;
    }

    // A client that had another address elsewhere must be told to begin anew.
    private bool IsOurs(ReadOnlySpan<byte> message, ReadOnlySpan<byte> options)
    {
        ReadOnlySpan<byte> wanted = Find(options, DhcpOption.RequestedAddress);
        return NetworkAddress.ReadV4(wanted.Length == 4 ? wanted : message[ClientAddress..]) == plan.GuestV4;
    }

    private int WriteOptions(Span<byte> options, byte answer, bool isLease)
    {
        int length = 0;
        Append(options, ref length, DhcpOption.MessageType, [answer]);
        Append(options, ref length, DhcpOption.Server, plan.GatewayV4);
        if (answer != Refuse)
        {
            if (isLease)
            {
                Span<byte> seconds = stackalloc byte[4];
                BinaryPrimitives.WriteInt32BigEndian(seconds, LeaseSeconds);
                Append(options, ref length, DhcpOption.LeaseTime, seconds);
            }

            Append(options, ref length, DhcpOption.SubnetMask, NetworkAddress.Of(User.AddressPlan.MaskV4));
            if (plan.HasOutside)
            {
                Append(options, ref length, DhcpOption.Router, plan.GatewayV4);
                Append(options, ref length, DhcpOption.NameServers, plan.ResolverV4);
            }
        }

        options[length++] = DhcpOption.End;
        return length;
    }

    private static void Append(Span<byte> options, ref int length, byte option, NetworkAddress value)
    {
        Span<byte> bytes = stackalloc byte[4];
        value.Write(bytes);
        Append(options, ref length, option, bytes);
    }

    private static void Append(Span<byte> options, ref int length, byte option, ReadOnlySpan<byte> value)
    {
        options[length] = option;
        options[length + 1] = (byte)value.Length;
        value.CopyTo(options[(length + 2)..]);
        length += 2 + value.Length;
    }
}

/// <summary>Numbers of DHCP options (RFC 2132).</summary>
internal static class DhcpOption
{
    public const byte Pad = 0;
    public const byte SubnetMask = 1;
    public const byte Router = 3;
    public const byte NameServers = 6;
    public const byte RequestedAddress = 50;
    public const byte LeaseTime = 51;
    public const byte MessageType = 53;
    public const byte Server = 54;
    public const byte End = 255;
}
