using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>Both ends of a conversation, as the guest sees them.</summary>
internal readonly record struct FlowKey(NetworkAddress Guest, ushort GuestPort, NetworkAddress Remote, ushort RemotePort)
{
    public override string ToString() => $"{Guest}:{GuestPort} - {Remote}:{RemotePort}";
}
