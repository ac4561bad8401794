using System.Buffers.Binary;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>Why a packet is not delivered; each has a code in ICMP (RFC 792) and ICMPv6 (RFC 4443).</summary>
internal enum UnreachableReason
{
    Network,
    Host,
    Port,
    Prohibited,
}

/// <summary>Control messages of IPv4 and IPv6.</summary>
internal static class Icmp
{
    public const byte EchoRequestV4 = 8, EchoReplyV4 = 0, EchoRequestV6 = 128, EchoReplyV6 = 129;

    /// <summary>Bytes of the header of every message; in an echo: type, code, checksum, u16 id, u16 number.</summary>
    public const int HeaderSize = 8;

    private const byte UnreachableV4 = 3, UnreachableV6 = 1;

    // Without being cut at the smallest MTU of IPv6, and as much as RFC 1812 asks for IPv4.
    private const int MaxQuoteV4 = 548, MaxQuoteV6 = 1232;

    /// <summary>Writes a message with its checksum.</summary>
    /// <param name="message">The message, whose checksum field is set.</param>
    /// <param name="source">Sender.</param>
    /// <param name="target">Receiver.</param>
    public static void Seal(Span<byte> message, NetworkAddress source, NetworkAddress target)
    {
        BinaryPrimitives.WriteUInt16BigEndian(message[2..], 0);
        uint start = source.IsV4 ? 0u : InternetChecksum.PseudoHeader(source, target, IpProtocol.IcmpV6, message.Length);
        BinaryPrimitives.WriteUInt16BigEndian(message[2..], InternetChecksum.Finish(InternetChecksum.Sum(message, start)));
    }

    /// <summary>Writes a message that a packet is not delivered, without checksum.</summary>
    /// <returns>Its length.</returns>
    public static int WriteUnreachable(Span<byte> message, bool isV4, UnreachableReason reason, ReadOnlySpan<byte> packet)
    {
        message[..HeaderSize].Clear();
        (message[0], message[1]) = isV4
            ? (UnreachableV4, (byte)(reason switch { UnreachableReason.Network => 0, UnreachableReason.Host => 1, UnreachableReason.Port => 3, _ => 13 }))
            : (UnreachableV6, (byte)(reason switch { UnreachableReason.Network => 0, UnreachableReason.Host => 3, UnreachableReason.Port => 4, _ => 1 }));
        ReadOnlySpan<byte> quote = packet[..Math.Min(packet.Length, isV4 ? MaxQuoteV4 : MaxQuoteV6)];
        quote.CopyTo(message[HeaderSize..]);
        return HeaderSize + quote.Length;
    }
}
