using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.Tap;
using CooperativeLinux.Devices.Network.User;
using CooperativeLinux.Devices.Xenbus;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux;

/// <summary>The network of a machine, which stays while its guest reboots.</summary>
internal sealed class MachineNetwork : IDisposable
{
    // The vendor part of Xen. Nobody else is on a user network, so its guests may all have the same.
    private const ulong VendorPart = 0x0016_3e00_0000;
    private const ulong UserAddress = VendorPart | 0x020f;

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
        MacAddress address = setting.Address ?? (setting.Kind == NetworkKind.Tap ? AddressFor(setting.TapName!) : new MacAddress(UserAddress));
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
                NetworkKind.Tap => new TapNetwork(setting.TapName!, options.Loggers.CreateLogger("network")),
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

    /// <summary>An address that stays the same and differs from that of other interfaces on this and other hosts.</summary>
    private static MacAddress AddressFor(string name)
    {
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes($"{Environment.MachineName}/{name}"));
        return new MacAddress(VendorPart | (BinaryPrimitives.ReadUInt32LittleEndian(hash) & 0xff_ffff));
    }

    public void Dispose() => _network?.Dispose();
}
