using System.Buffers.Binary;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>An IP packet, or a fragment of one, as found in a frame: all lengths are checked.</summary>
internal readonly ref struct IpPacket
{
    /// <summary>Bytes of an IPv4 header without options.</summary>
    public const int HeaderSizeV4 = 20;

    /// <summary>Bytes of an IPv6 header without extensions.</summary>
    public const int HeaderSizeV6 = 40;

    private const int FragmentHeaderSize = 8;

    /// <summary>The packet from the IP header on, without padding.</summary>
    public ReadOnlySpan<byte> Whole { get; private init; }

    /// <summary>What the headers of IP leave.</summary>
    public ReadOnlySpan<byte> Payload { get; init; }

    public NetworkAddress Source { get; init; }

    public NetworkAddress Target { get; init; }

    /// <summary>A number of <see cref="IpProtocol"/>.</summary>
    public byte Protocol { get; init; }

    /// <summary>Time to live, or hop limit.</summary>
    public byte HopLimit { get; private init; }

    public bool IsFragment { get; private init; }

    /// <summary>Number of the packet that a fragment belongs to.</summary>
    public uint FragmentId { get; private init; }

    /// <summary>Where a fragment's payload belongs, in bytes.</summary>
    public int FragmentOffset { get; private init; }

    public bool IsLastFragment { get; private init; }

    /// <summary>Reads an IPv4 packet; options are skipped.</summary>
    /// <returns>Whether it is one that may be used.</returns>
    public static bool TryReadV4(ReadOnlySpan<byte> bytes, out IpPacket packet)
    {
        packet = default;
        if (bytes.Length < HeaderSizeV4 || bytes[0] >> 4 != 4)
        {
            return false;
        }

        int headerSize = (bytes[0] & 15) * 4;
        int length = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        if (headerSize < HeaderSizeV4 || length < headerSize || length > bytes.Length || InternetChecksum.Sum(bytes[..headerSize]) != 0xffff)
        {
            return false;
        }

        int fragment = BinaryPrimitives.ReadUInt16BigEndian(bytes[6..]);
        packet = new IpPacket
        {
            Whole = bytes[..length],
            Payload = bytes[headerSize..length],
            Source = NetworkAddress.ReadV4(bytes[12..]),
            Target = NetworkAddress.ReadV4(bytes[16..]),
            Protocol = bytes[9],
            HopLimit = bytes[8],
            IsFragment = (fragment & 0x3fff) != 0,
            FragmentId = BinaryPrimitives.ReadUInt16BigEndian(bytes[4..]),
            FragmentOffset = (fragment & 0x1fff) * 8,
            IsLastFragment = (fragment & 0x2000) == 0,
        };
        return true;
    }

    /// <summary>Reads an IPv6 packet; extension headers that need no action are skipped.</summary>
    /// <returns>Whether it is one that may be used.</returns>
    public static bool TryReadV6(ReadOnlySpan<byte> bytes, out IpPacket packet)
    {
        packet = default;
        if (bytes.Length < HeaderSizeV6 || bytes[0] >> 4 != 6)
        {
            return false;
        }

        int length = HeaderSizeV6 + BinaryPrimitives.ReadUInt16BigEndian(bytes[4..]);
        if (length > bytes.Length)
        {
            return false;
        }

        bytes = bytes[..length];
        byte protocol = bytes[6];
        ReadOnlySpan<byte> rest = bytes[HeaderSizeV6..];
        while (protocol is IpProtocol.HopByHop or IpProtocol.Routing or IpProtocol.DestinationOptions)
        {
            int size = rest.Length < 2 ? int.MaxValue : (rest[1] + 1) * 8;
            if (size > rest.Length)
            {
                return false;
            }

            protocol = rest[0];
            rest = rest[size..];
        }

        bool isFragment = protocol == IpProtocol.Fragment;
        uint id = 0;
        int fragment = 0;
        if (isFragment)
        {
            if (rest.Length < FragmentHeaderSize)
            {
                return false;
            }

            protocol = rest[0];
            fragment = BinaryPrimitives.ReadUInt16BigEndian(rest[2..]);
            id = BinaryPrimitives.ReadUInt32BigEndian(rest[4..]);
            rest = rest[FragmentHeaderSize..];
        }

        packet = new IpPacket
        {
            Whole = bytes,
            Payload = rest,
            Source = NetworkAddress.ReadV6(bytes[8..]),
            Target = NetworkAddress.ReadV6(bytes[24..]),
            Protocol = protocol,
            HopLimit = bytes[7],
            IsFragment = isFragment,
            FragmentId = id,
            FragmentOffset = fragment & ~7,
            IsLastFragment = (fragment & 1) == 0,
        };
        return true;
    }

    /// <summary>Whether the checksum of TCP, UDP or ICMPv6 in the payload is right.</summary>
    public bool HasGoodChecksum() =>
        InternetChecksum.Sum(Payload, InternetChecksum.PseudoHeader(Source, Target, Protocol, Payload.Length)) == 0xffff;
}
