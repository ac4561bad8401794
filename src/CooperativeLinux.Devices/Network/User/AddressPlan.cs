using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>The addresses of the user-mode network, the same for every guest.</summary>
internal sealed class AddressPlan
{
    /// <summary>255.255.255.0.</summary>
    public const uint MaskV4 = 0xffff_ff00;

    /// <summary>The host and the way out: 10.0.2.2.</summary>
    public NetworkAddress GatewayV4 { get; } = NetworkAddress.Parse("10.0.2.2");

    /// <summary>The name server: 10.0.2.3.</summary>
    public NetworkAddress ResolverV4 { get; } = NetworkAddress.Parse("10.0.2.3");

    /// <summary>The guest: 10.0.2.15.</summary>
    public NetworkAddress GuestV4 { get; } = NetworkAddress.Parse("10.0.2.15");

    /// <summary>The host and the way out: fd00::2.</summary>
    public NetworkAddress GatewayV6 { get; } = NetworkAddress.Parse("fd00::2");

    /// <summary>The name server: fd00::3.</summary>
    public NetworkAddress ResolverV6 { get; } = NetworkAddress.Parse("fd00::3");

    /// <summary>The router on the link, as routers announce themselves: fe80::2.</summary>
    public NetworkAddress RouterV6 { get; } = NetworkAddress.Parse("fe80::2");

    /// <summary>The address of all stations of a link, ff02::1.</summary>
    public NetworkAddress AllNodes { get; } = NetworkAddress.Parse("ff02::1");

    /// <summary>Ethernet address of all that is not the guest.</summary>
    public MacAddress GatewayMac { get; } = new(0x5255_0a00_0202);

    /// <summary>Whether the guest is told of a way out and of a name server.</summary>
    public bool HasOutside { get; init; } = true;

    /// <summary>Whether it is the host's address on this network.</summary>
    public bool IsGateway(NetworkAddress address) => address == GatewayV4 || address == GatewayV6 || address == RouterV6;

    public bool IsResolver(NetworkAddress address) => address == ResolverV4 || address == ResolverV6;

    /// <summary>Whether the address belongs to this network.</summary>
    public bool IsLocal(NetworkAddress address) => address.IsV4
        ? (address.V4 & MaskV4) == (GatewayV4.V4 & MaskV4)
        : address.Prefix == GatewayV6.Prefix || address.IsLinkLocal;

    /// <summary>Whether a guest may send from the address.</summary>
    public bool IsGuest(NetworkAddress address) =>
        IsLocal(address) && !IsGateway(address) && !IsResolver(address) && !(address.IsV4 && address.V4 == (GatewayV4.V4 | ~MaskV4));
}
