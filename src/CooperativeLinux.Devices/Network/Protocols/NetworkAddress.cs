using System.Buffers.Binary;
using System.Net;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>An IPv4 or IPv6 address. IPv4 addresses are held in the form ::ffff:a.b.c.d, which no packet may contain.</summary>
/// <param name="Bits">The address as a number.</param>
internal readonly record struct NetworkAddress(UInt128 Bits)
{
    private const ulong MappedPrefix = 0xffff;

    public bool IsV4 => (ulong)(Bits >> 64) == 0 && (ulong)Bits >> 32 == MappedPrefix;

    /// <summary>Bytes in a packet.</summary>
    public int Size => IsV4 ? 4 : 16;

    /// <summary>The IPv4 address as a number.</summary>
    public uint V4 => (uint)Bits;

    /// <summary>The first 64 bits of an IPv6 address.</summary>
    public ulong Prefix => (ulong)(Bits >> 64);

    /// <summary>Whether an IPv6 address is only valid on its link.</summary>
    public bool IsLinkLocal => Prefix >> 54 == 0xfe80 >> 6;

    /// <summary>Whether it stands for several stations: multicast, or all of the IPv4 classes above it.</summary>
    public bool IsGroup => IsV4 ? V4 >= 0xe000_0000 : Prefix >> 56 == 0xff;

    /// <summary>Whether it stands for the sender itself or for nobody, so that it must not be on any wire.</summary>
    public bool IsUnroutable => IsV4 ? V4 >> 24 is 0 or 127 : Prefix == 0 && (Bits <= 1 || (ulong)Bits >> 32 == MappedPrefix);

    public static NetworkAddress Of(uint v4) => new(new UInt128(0, (MappedPrefix << 32) | v4));

    public static NetworkAddress Of(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out int length);
        return length == 4 ? ReadV4(bytes) : ReadV6(bytes);
    }

    public static NetworkAddress Parse(string text) => Of(IPAddress.Parse(text));

    public static NetworkAddress ReadV4(ReadOnlySpan<byte> bytes) => Of(BinaryPrimitives.ReadUInt32BigEndian(bytes));

    public static NetworkAddress ReadV6(ReadOnlySpan<byte> bytes) => new(BinaryPrimitives.ReadUInt128BigEndian(bytes));

    /// <summary>Writes the 4 or 16 bytes of a packet.</summary>
    public void Write(Span<byte> bytes)
    {
        if (IsV4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes, V4);
        }
        else
        {
            BinaryPrimitives.WriteUInt128BigEndian(bytes, Bits);
        }
    }

    public IPAddress ToIPAddress()
    {
        Span<byte> bytes = stackalloc byte[16];
        Write(bytes);
        return new IPAddress(bytes[..Size]);
    }

    public override string ToString() => ToIPAddress().ToString();
}
