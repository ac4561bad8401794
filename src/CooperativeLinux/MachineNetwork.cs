using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.User;
using CooperativeLinux.Devices.Xenbus;

namespace CooperativeLinux;

/// <summary>The network of a machine, which stays while its guest reboots.</summary>
internal sealed class MachineNetwork : IDisposable
{
    // The vendor part of Xen; the rest is ours. Nobody else is on a user network.
    private const ulong UserAddress = 0x0016_3e00_020f;

    private readonly INetwork? _network;
    private readonly MacAddress _address;

    private MachineNetwork(INetwork? network, MacAddress address)
    {
        _network = network;
        _address = address;
    }

    /// <summary>Makes the network that the options ask for.</summary>
    /// <exception cref="MachineStartException">The host does not give what it needs.</exception>
    public static MachineNetwork Open(MachineOptions options)
    {
        NetworkSetting setting = options.Network;
        MacAddress address = setting.Address ?? new MacAddress(UserAddress);
        try
        {
            INetwork? network = setting.Kind switch
            {
                NetworkKind.User => new UserNetwork(new UserNetworkOptions
                {
                    Forwards = setting.Forwards,
                    IsRestricted = setting.IsRestricted,
                    Resolvers = setting.Resolvers,
                    GuestMac = address,
                    Loggers = options.Loggers,
                }),
                _ => null,
            };
            return new MachineNetwork(network, address);
        }
        catch (NetworkException error)
        {
            throw new MachineStartException(MachineStartFailure.Host, error.Message, error);
        }
    }

    /// <summary>The card for a guest that is about to start, or none.</summary>
    public IEnumerable<BackendDevice> CreateDevices(DeviceContext context) =>
        _network is null ? [] : [new NetworkDevice(context, 0, _network, _address)];

    public void Dispose() => _network?.Dispose();
}
