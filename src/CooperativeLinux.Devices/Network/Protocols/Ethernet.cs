namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>Layout of an Ethernet header: target, source, u16 type.</summary>
internal static class Ethernet
{
    public const int HeaderSize = 14;
    public const int SourceOffset = 6;
    public const int TypeOffset = 12;

    public const ushort TypeIpV4 = 0x0800;
    public const ushort TypeArp = 0x0806;
    public const ushort TypeIpV6 = 0x86dd;
}

/// <summary>Numbers of the protocols in IP packets (IANA).</summary>
internal static class IpProtocol
{
    public const byte HopByHop = 0;
    public const byte Icmp = 1;
    public const byte Tcp = 6;
    public const byte Udp = 17;
    public const byte Routing = 43;
    public const byte Fragment = 44;
    public const byte IcmpV6 = 58;
    public const byte DestinationOptions = 60;
}
