using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Block;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Devices.Xenbus;

namespace CooperativeLinux;

/// <summary>The disks of a machine, open and locked from its start to its end, over all restarts of the guest.</summary>
internal sealed class MachineDisks : IDisposable
{
    // Disks have such names on Windows, which only opening tells about.
    private const string WindowsDevices = @"\\.\";

    private readonly List<(int Index, Disk Disk)> _disks = [];

    /// <param name="options">The disks.</param>
    /// <exception cref="MachineStartException">One cannot be opened.</exception>
    public MachineDisks(IReadOnlyList<DiskOption> options)
    {
        if (!DiskOption.TryAssignNames(options, out IReadOnlyList<int> indexes, out string error))
        {
            throw new MachineStartException(MachineStartFailure.Host, error);
        }

        if (FindTwice(options) is string twice)
        {
            throw new MachineStartException(MachineStartFailure.Host, $"the disk {twice} is given twice; only with 'ro' can it be two disks");
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

    /// <summary>A file that two disks would write, or one while the other reads.</summary>
    private static string? FindTwice(IReadOnlyList<DiskOption> options) => options
        .GroupBy(option => option.OverlayPath ?? option.Path, StringComparer.Ordinal)
        .FirstOrDefault(group => group.Count() > 1 && group.Any(option => !option.IsReadOnly))?.Key;

    private static Disk Open(DiskOption option)
    {
        CheckKind(option.Path);
        if (!Path.Exists(option.Path) && !option.Path.StartsWith(WindowsDevices, StringComparison.Ordinal))
        {
            throw new IOException($"the disk {option.Path} does not exist; make one with: colinux disk create {option.Path} --size 8G");
        }

        if (option.OverlayPath is not string overlay)
        {
            return option.IsReadOnly ? BaseDisk.OpenReadOnly(option.Path) : RawDisk.Open(option.Path, isReadOnly: false);
        }

        CheckKind(overlay);
        if (!File.Exists(overlay) && !option.IsReadOnly)
        {
            OverlayImage.Create(overlay, option.Path);
        }

        return OverlayDisk.Open(overlay, option.Path, option.IsReadOnly);
    }

    private static void CheckKind(string path)
    {
        if (Directory.Exists(path))
        {
            throw new IOException($"{path} is a folder, and no disk");
        }
    }
}
