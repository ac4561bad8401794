using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>What a user-mode network does.</summary>
public sealed record UserNetworkOptions
{
    /// <summary>Connections from the host into the guest.</summary>
    public IReadOnlyList<PortForward> Forwards { get; init; } = [];

    /// <summary>Whether the guest reaches nothing, neither outside nor the host nor names; forwards still work.</summary>
    public bool IsRestricted { get; init; }

    /// <summary>Name servers; none: those of the host.</summary>
    public IReadOnlyList<IPEndPoint> Resolvers { get; init; } = [];

    /// <summary>The guest's Ethernet address, until it is heard.</summary>
    public MacAddress GuestMac { get; init; }

    public ILoggerFactory Loggers { get; init; } = NullLoggerFactory.Instance;
}

/// <summary>A port of the host that leads into the guest.</summary>
/// <param name="IsTcp">TCP, otherwise UDP.</param>
/// <param name="Host">Where to listen.</param>
/// <param name="GuestPort">The guest's port.</param>
public sealed record PortForward(bool IsTcp, IPEndPoint Host, ushort GuestPort)
{
    /// <inheritdoc/>
    public override string ToString() => $"{(IsTcp ? "tcp" : "udp")}:{Host}:{GuestPort}";
}
