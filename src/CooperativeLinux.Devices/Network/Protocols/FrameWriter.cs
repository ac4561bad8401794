using System.Buffers.Binary;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>Writes the headers of frames for the guest.</summary>
internal static class FrameWriter
{
    /// <summary>Bytes of Ethernet and IP header, at most.</summary>
    public const int MaxHeaderSize = Ethernet.HeaderSize + IpPacket.HeaderSizeV6;

    public const int UdpHeaderSize = 8;

    private const byte HopLimit = 64;

    /// <summary>Bytes of Ethernet and IP header for packets between two addresses.</summary>
    public static int HeaderSize(NetworkAddress address) =>
        Ethernet.HeaderSize + (address.IsV4 ? IpPacket.HeaderSizeV4 : IpPacket.HeaderSizeV6);

    /// <summary>Writes an Ethernet header.</summary>
    public static void WriteEthernet(Span<byte> frame, MacAddress target, MacAddress source, ushort type)
    {
        target.Write(frame);
        source.Write(frame[Ethernet.SourceOffset..]);
        BinaryPrimitives.WriteUInt16BigEndian(frame[Ethernet.TypeOffset..], type);
    }

    /// <summary>Writes Ethernet and IP header.</summary>
    /// <param name="frame">Where.</param>
    /// <param name="macs">Ethernet addresses.</param>
    /// <param name="source">Sender.</param>
    /// <param name="target">Receiver, of the same family.</param>
    /// <param name="protocol">A number of <see cref="IpProtocol"/>.</param>
    /// <param name="length">Bytes that follow the IP header.</param>
    /// <param name="hopLimit">Time to live.</param>
    /// <returns>Bytes written.</returns>
    public static int WriteIp(
        Span<byte> frame, (MacAddress Target, MacAddress Source) macs, NetworkAddress source, NetworkAddress target, byte protocol, int length, byte hopLimit = HopLimit)
    {
        WriteEthernet(frame, macs.Target, macs.Source, source.IsV4 ? Ethernet.TypeIpV4 : Ethernet.TypeIpV6);
        Span<byte> ip = frame[Ethernet.HeaderSize..];
        if (source.IsV4)
        {
            ip[..IpPacket.HeaderSizeV4].Clear();
            ip[0] = 0x45;
            BinaryPrimitives.WriteUInt16BigEndian(ip[2..], (ushort)(IpPacket.HeaderSizeV4 + length));

            // Never cut, so it needs no number.
            ip[6] = 0x40;
            ip[8] = hopLimit;
            ip[9] = protocol;
            source.Write(ip[12..]);
            target.Write(ip[16..]);
            BinaryPrimitives.WriteUInt16BigEndian(ip[10..], InternetChecksum.Finish(InternetChecksum.Sum(ip[..IpPacket.HeaderSizeV4])));
            return Ethernet.HeaderSize + IpPacket.HeaderSizeV4;
        }

        BinaryPrimitives.WriteUInt32BigEndian(ip, 0x6000_0000);
        BinaryPrimitives.WriteUInt16BigEndian(ip[4..], (ushort)length);
        ip[6] = protocol;
        ip[7] = hopLimit;
        source.Write(ip[8..]);
        target.Write(ip[24..]);
        return Ethernet.HeaderSize + IpPacket.HeaderSizeV6;
    }

    /// <summary>Writes a UDP header with the sum of the pseudo-header only.</summary>
    public static void WriteUdp(Span<byte> udp, (NetworkAddress Address, ushort Port) source, (NetworkAddress Address, ushort Port) target, int payloadLength)
    {
        int length = UdpHeaderSize + payloadLength;
        BinaryPrimitives.WriteUInt16BigEndian(udp, source.Port);
        BinaryPrimitives.WriteUInt16BigEndian(udp[2..], target.Port);
        BinaryPrimitives.WriteUInt16BigEndian(udp[4..], (ushort)length);
        BinaryPrimitives.WriteUInt16BigEndian(udp[6..], InternetChecksum.PseudoHeader(source.Address, target.Address, IpProtocol.Udp, length));
    }
}
