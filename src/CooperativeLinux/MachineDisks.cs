using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Block;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Devices.Xenbus;

namespace CooperativeLinux;

/// <summary>The disks of a machine, open and locked from its start to its end, over all restarts of the guest.</summary>
internal sealed class MachineDisks : IDisposable
{
    private readonly List<(int Index, Disk Disk)> _disks = [];

    /// <param name="options">The disks.</param>
    /// <exception cref="MachineStartException">One cannot be opened.</exception>
    public MachineDisks(IReadOnlyList<DiskOption> options)
    {
        if (!DiskOption.TryAssignNames(options, out IReadOnlyList<int> indexes, out string error))
        {
            throw new MachineStartException(MachineStartFailure.Host, error);
        }

        try
        {
            foreach ((DiskOption option, int index) in options.Zip(indexes))
            {
                _disks.Add((index, Open(option)));
            }
        }
        catch (IOException exception)
        {
            Dispose();
            throw new MachineStartException(MachineStartFailure.Host, exception.Message, exception);
        }
    }

    /// <summary>The disk that a machine boots from: the first one given; null without any.</summary>
    public Disk? First => _disks.Count > 0 ? _disks[0].Disk : null;

    /// <summary>Makes the devices of one boot.</summary>
    public IEnumerable<BackendDevice> CreateDevices(DeviceContext context) =>
        _disks.Select(disk => new BlockBackend(context, disk.Index, disk.Disk));

    public void Dispose()
    {
        _disks.ForEach(disk => disk.Disk.Dispose());
    }

    private static Disk Open(DiskOption option)
    {
        if (option.OverlayPath is not string overlay)
        {
            return option.IsReadOnly ? BaseDisk.OpenReadOnly(option.Path) : RawDisk.Open(option.Path, isReadOnly: false);
        }

        if (!File.Exists(overlay) && !option.IsReadOnly)
        {
            OverlayImage.Create(overlay, option.Path);
        }

        return OverlayDisk.Open(overlay, option.Path, option.IsReadOnly);
    }
}
