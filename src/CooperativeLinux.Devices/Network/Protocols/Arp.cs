using System.Buffers.Binary;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>The address resolution protocol for IPv4 on Ethernet (RFC 826): u16 hardware, u16 protocol, sizes, u16 operation, sender MAC
/// and IP, target MAC and IP.</summary>
internal static class Arp
{
    /// <summary>Bytes of a packet.</summary>
    public const int Size = 28;

    private const int OperationOffset = 6, SenderMac = 8, SenderIp = 14, TargetMac = 18, TargetIp = 24;
    private const ulong EthernetIpV4 = 0x0001_0800_0604;
    private const ushort Request = 1, Reply = 2;

    /// <summary>Reads a packet.</summary>
    /// <param name="packet">What follows the Ethernet header.</param>
    /// <param name="sender">Who sent it.</param>
    /// <param name="target">Whose Ethernet address is wanted or told.</param>
    /// <param name="isRequest">Whether it is a question.</param>
    public static bool TryRead(ReadOnlySpan<byte> packet, out (MacAddress Mac, NetworkAddress Ip) sender, out NetworkAddress target, out bool isRequest)
    {
        sender = default;
        target = default;
        isRequest = false;
        if (packet.Length < Size || BinaryPrimitives.ReadUInt64BigEndian(packet) >> 16 != EthernetIpV4)
        {
            return false;
        }

        sender = (MacAddress.Read(packet[SenderMac..]), NetworkAddress.ReadV4(packet[SenderIp..]));
        target = NetworkAddress.ReadV4(packet[TargetIp..]);
        isRequest = BinaryPrimitives.ReadUInt16BigEndian(packet[OperationOffset..]) == Request;
        return true;
    }

    /// <summary>Writes a frame that tells an Ethernet address.</summary>
    public static void WriteReply(Span<byte> frame, (MacAddress Mac, NetworkAddress Ip) sender, (MacAddress Mac, NetworkAddress Ip) target) =>
        Write(frame, Reply, sender, target, target.Mac);

    /// <summary>Writes a frame that asks for an Ethernet address.</summary>
    public static void WriteRequest(Span<byte> frame, (MacAddress Mac, NetworkAddress Ip) sender, NetworkAddress target) =>
        Write(frame, Request, sender, (default, target), MacAddress.Broadcast);

    private static void Write(Span<byte> frame, ushort operation, (MacAddress Mac, NetworkAddress Ip) sender, (MacAddress Mac, NetworkAddress Ip) target, MacAddress to)
    {
        FrameWriter.WriteEthernet(frame, to, sender.Mac, Ethernet.TypeArp);
        Span<byte> packet = frame[Ethernet.HeaderSize..];
        BinaryPrimitives.WriteUInt64BigEndian(packet, (EthernetIpV4 << 16) | operation);
        sender.Mac.Write(packet[SenderMac..]);
        sender.Ip.Write(packet[SenderIp..]);
        target.Mac.Write(packet[TargetMac..]);
        target.Ip.Write(packet[TargetIp..]);
    }
}
