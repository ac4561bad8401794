using CooperativeLinux.Commands;
using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Devices.Xenbus;

namespace CooperativeLinux;

/// <summary>The PV devices of one boot, made from the options and plugged in before the guest runs.</summary>
internal sealed class MachineDevices : IDisposable
{
    private readonly List<BackendDevice> _devices = [];

    /// <param name="options">What the machine is to have.</param>
    /// <param name="context">The domain.</param>
    /// <param name="disks">The machine's disks.</param>
    /// <param name="network">What the guest is plugged into.</param>
    /// <param name="commands">Runs commands in the guest, or null.</param>
    public MachineDevices(MachineOptions options, DeviceContext context, MachineDisks disks, MachineNetwork network, CommandChannel? commands)
    {
        _devices.AddRange(commands?.CreateDevices(context) ?? []);
        _devices.AddRange(disks.CreateDevices(context));
        _devices.AddRange(network.CreateDevices(context));
        for (int i = 0; i < options.Shares.Count; i++)
        {
            _devices.Add(CreateShare(context, i, options.Shares[i]));
        }

        foreach (BackendDevice device in _devices)
        {
            device.Start();
        }
    }

    private static FileShareBackend CreateShare(DeviceContext context, int id, FileShareOptions share)
    {
        try
        {
            return new FileShareBackend(context, id, share);
        }
        catch (IOException error)
        {
            throw new MachineStartException(MachineStartFailure.Host, $"cannot share a folder: {error.Message}", error);
        }
    }

    public void Dispose()
    {
        _devices.ForEach(device => device.Dispose());
    }
}
