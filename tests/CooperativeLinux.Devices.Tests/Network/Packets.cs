using System.Buffers.Binary;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.Protocols;
using CooperativeLinux.Devices.Network.Tcp;

namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>Frames as a guest makes them, with whole checksums.</summary>
internal static class Packets
{
    public static readonly MacAddress GuestMac = new(0x0016_3e00_0001);
    public static readonly MacAddress GatewayMac = new(0x5255_0a00_0202);

    public static byte[] Ip(string source, string target, byte protocol, ReadOnlySpan<byte> payload, byte hopLimit = 64)
    {
        byte[] frame = new byte[FrameWriter.MaxHeaderSize + payload.Length];
        int length = FrameWriter.WriteIp(
            frame, (GatewayMac, GuestMac), NetworkAddress.Parse(source), NetworkAddress.Parse(target), protocol, payload.Length, hopLimit);
        payload.CopyTo(frame.AsSpan(length));
        return frame[..(length + payload.Length)];
    }

    public static byte[] Udp(string source, ushort sourcePort, string target, ushort targetPort, ReadOnlySpan<byte> payload)
    {
        byte[] datagram = new byte[FrameWriter.UdpHeaderSize + payload.Length];
        FrameWriter.WriteUdp(datagram, (NetworkAddress.Parse(source), sourcePort), (NetworkAddress.Parse(target), targetPort), payload.Length);
        payload.CopyTo(datagram.AsSpan(FrameWriter.UdpHeaderSize));
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(6), InternetChecksum.Finish(InternetChecksum.Sum(datagram)));
        return Ip(source, target, IpProtocol.Udp, datagram);
    }

    public static byte[] Tcp(string source, string target, TcpHeader header, ReadOnlySpan<byte> payload)
    {
        byte[] segment = new byte[TcpHeader.MaxSize + payload.Length];
        int size = header.Write(segment);
        payload.CopyTo(segment.AsSpan(size));
        segment = segment[..(size + payload.Length)];
        ushort pseudo = InternetChecksum.PseudoHeader(NetworkAddress.Parse(source), NetworkAddress.Parse(target), IpProtocol.Tcp, segment.Length);
        BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(TcpHeader.ChecksumOffset), InternetChecksum.Finish(InternetChecksum.Sum(segment, pseudo)));
        return Ip(source, target, IpProtocol.Tcp, segment);
    }

    public static byte[] Echo(string source, string target, ushort id, ReadOnlySpan<byte> payload)
    {
        NetworkAddress from = NetworkAddress.Parse(source);
        byte[] message = new byte[Icmp.HeaderSize + payload.Length];
        message[0] = from.IsV4 ? Icmp.EchoRequestV4 : Icmp.EchoRequestV6;
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(4), id);
        payload.CopyTo(message.AsSpan(Icmp.HeaderSize));
        Icmp.Seal(message, from, NetworkAddress.Parse(target));
        return Ip(source, target, from.IsV4 ? IpProtocol.Icmp : IpProtocol.IcmpV6, message);
    }
}
