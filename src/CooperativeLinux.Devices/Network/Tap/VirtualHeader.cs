using System.Buffers.Binary;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.Tap;

/// <summary>What stands before each frame of a TAP interface (struct virtio_net_hdr): u8 flags, u8 kind of segmentation, u16 header length,
/// u16 segment size, u16 start and u16 offset of the checksum, in the machine's byte order.</summary>
internal static class VirtualHeader
{
    public const int Size = 10;

    private const byte NeedsChecksum = 1, DataValid = 2;
    private const byte SegmentsNone = 0, SegmentsV4 = 1, SegmentsV6 = 4, SegmentsEcn = 0x80;
    private const int TcpChecksum = 16, UdpChecksum = 6;

    /// <summary>Reads a header.</summary>
    /// <returns>Whether it says what can be passed on.</returns>
    public static bool TryRead(ReadOnlySpan<byte> header, out FrameOffload offload)
    {
        FrameChecksum checksum = (header[0] & NeedsChecksum) != 0 ? FrameChecksum.Partial
            : (header[0] & DataValid) != 0 ? FrameChecksum.Verified
            : FrameChecksum.Unverified;
        FrameSegmentation? segmentation = (header[1] & ~SegmentsEcn) switch
        {
            SegmentsNone => FrameSegmentation.None,
            SegmentsV4 => FrameSegmentation.TcpV4,
            SegmentsV6 => FrameSegmentation.TcpV6,
            _ => null,
        };
        offload = new FrameOffload(checksum, segmentation ?? FrameSegmentation.None, BinaryPrimitives.ReadUInt16LittleEndian(header[4..]));
        return segmentation is not null;
    }

    /// <summary>Writes the header for a frame.</summary>
    /// <returns>Whether the frame is what the work left undone needs.</returns>
    public static bool TryWrite(Span<byte> header, ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        header[..Size].Clear();
        if (offload.Checksum == FrameChecksum.Verified)
        {
            header[0] = DataValid;
        }

        if (offload.Checksum != FrameChecksum.Partial)
        {
            return true;
        }

        if (!TryFindTransport(frame, out byte protocol, out int start) || protocol is not (IpProtocol.Tcp or IpProtocol.Udp))
        {
            return false;
        }

        int field = protocol == IpProtocol.Tcp ? TcpChecksum : UdpChecksum;
        if (frame.Length < start + field + 2)
        {
            return false;
        }

        header[0] = NeedsChecksum;
        BinaryPrimitives.WriteUInt16LittleEndian(header[6..], (ushort)start);
        BinaryPrimitives.WriteUInt16LittleEndian(header[8..], (ushort)field);
        if (offload.Segmentation == FrameSegmentation.None)
        {
            return true;
        }

        if (protocol != IpProtocol.Tcp || !Tcp.TcpHeader.TryRead(frame[start..], out _, out ReadOnlySpan<byte> payload))
        {
            return false;
        }

        header[1] = offload.Segmentation == FrameSegmentation.TcpV4 ? SegmentsV4 : SegmentsV6;
        BinaryPrimitives.WriteUInt16LittleEndian(header[2..], (ushort)(frame.Length - payload.Length));
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], offload.SegmentSize);
        return true;
    }

    private static bool TryFindTransport(ReadOnlySpan<byte> frame, out byte protocol, out int start)
    {
        protocol = 0;
        start = 0;
        ushort type = BinaryPrimitives.ReadUInt16BigEndian(frame[Ethernet.TypeOffset..]);
        ReadOnlySpan<byte> content = frame[Ethernet.HeaderSize..];
        IpPacket packet = default;
        bool isIp = (type == Ethernet.TypeIpV4 && IpPacket.TryReadV4(content, out packet)) || (type == Ethernet.TypeIpV6 && IpPacket.TryReadV6(content, out packet));
        if (!isIp || packet.IsFragment)
        {
            return false;
        }

        protocol = packet.Protocol;
        start = Ethernet.HeaderSize + packet.Whole.Length - packet.Payload.Length;
        return true;
    }
}
