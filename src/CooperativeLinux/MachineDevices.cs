using CooperativeLinux.Devices.Xenbus;

namespace CooperativeLinux;

/// <summary>The PV devices of one boot, plugged in before the guest runs.</summary>
internal sealed class MachineDevices : IDisposable
{
    private readonly List<BackendDevice> _devices;

    /// <param name="devices">The devices, not started.</param>
    public MachineDevices(IEnumerable<BackendDevice> devices)
    {
        _devices = [.. devices];
        foreach (BackendDevice device in _devices)
        {
            device.Start();
        }
    }

    public void Dispose()
    {
        _devices.ForEach(device => device.Dispose());
    }
}
