using System.Buffers.Binary;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>The ones' complement sum of IP, ICMP, UDP and TCP (RFC 1071).</summary>
internal static class InternetChecksum
{
    /// <summary>Adds bytes to a sum; all parts but the last have an even length.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="sum">A sum as <see cref="PseudoHeader"/> or this returned it, or 0.</param>
    /// <returns>The sum, 16 bits.</returns>
    public static ushort Sum(ReadOnlySpan<byte> bytes, uint sum = 0)
    {
        // Eight bytes at once: the sum does not depend on the size of what is added, if carries come back in.
        ulong total = sum;
        while (bytes.Length >= 8)
        {
            ulong value = BinaryPrimitives.ReadUInt64BigEndian(bytes);
            total += value;
            if (total < value)
            {
                total++;
            }

            bytes = bytes[8..];
        }

        total = (total & 0xffff_ffff) + (total >> 32);
        for (; bytes.Length >= 2; bytes = bytes[2..])
        {
            total += BinaryPrimitives.ReadUInt16BigEndian(bytes);
        }

        if (bytes.Length == 1)
        {
            total += (ulong)bytes[0] << 8;
        }

        while (total >> 16 != 0)
        {
            total = (total & 0xffff) + (total >> 16);
        }

        return (ushort)total;
    }

    /// <summary>The sum of what TCP, UDP and ICMPv6 take from the IP header.</summary>
    public static ushort PseudoHeader(NetworkAddress source, NetworkAddress target, byte protocol, int length)
    {
        Span<byte> header = stackalloc byte[40];
        int size = source.Size;
        source.Write(header);
        target.Write(header[size..]);
        BinaryPrimitives.WriteInt32BigEndian(header[(2 * size)..], length);
        BinaryPrimitives.WriteInt32BigEndian(header[((2 * size) + 4)..], protocol);
        return Sum(header[..((2 * size) + 8)]);
    }

    /// <summary>The checksum field for a sum over all but the field.</summary>
    public static ushort Finish(ushort sum) => (ushort)~sum;
}
