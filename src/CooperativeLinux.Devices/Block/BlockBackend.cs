using System.Globalization;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;

namespace CooperativeLinux.Devices.Block;

/// <summary>
/// Backend of a disk for xen-blkfront (xen: io/blkif.h). The disk belongs to the caller and outlives the backend, so that it
/// stays open and locked over restarts of the guest.
/// </summary>
/// <remarks>Persistent grants are not offered: they spare the backend mapping and unmapping, which costs nothing here, and make the
/// guest copy all data. A frontend that keeps its grants anyway is served the same.</remarks>
public sealed class BlockBackend : BackendDevice
{
    private const string Type = "vbd";
    private const int MaxRingOrder = 4;
    private const int ReadOnlyFlag = 4;
    private const int ThreadCount = 4;
    private const string Protocol = "x86_64-abi";

    private readonly Disk _disk;
    private readonly int _deviceNumber;
    private readonly string _deviceName;
    private BlockQueue? _queue;

    /// <param name="context">The machine.</param>
    /// <param name="index">Number of the disk in the guest; see <see cref="BlockDeviceName"/>.</param>
    /// <param name="disk">The content; stays open.</param>
    public BlockBackend(DeviceContext context, int index, Disk disk)
        : base(context, Type, BlockDeviceName.DeviceNumber(index))
    {
        _disk = disk;
        _deviceNumber = BlockDeviceName.DeviceNumber(index);
        _deviceName = BlockDeviceName.Of(index);
    }

    /// <inheritdoc/>
    protected override void Describe(IDictionary<string, string> frontend, IDictionary<string, string> backend)
    {
        frontend["virtual-device"] = Text(_deviceNumber);
        frontend["device-type"] = "disk";
        frontend["trusted"] = "1";
        backend["dev"] = _deviceName;
        backend["sectors"] = Text(_disk.Length >> Disk.SectorShift);
        backend["sector-size"] = Text(Disk.SectorSize);
        backend["physical-sector-size"] = Text(Disk.PhysicalSectorSize);
        backend["info"] = Text(_disk.IsReadOnly ? ReadOnlyFlag : 0);
        backend["mode"] = _disk.IsReadOnly ? "r" : "w";
        backend["feature-flush-cache"] = "1";
        backend["feature-barrier"] = "1";
        backend["feature-persistent"] = "0";
        backend["feature-max-indirect-segments"] = Text(BlockRequest.MaxIndirectSegments);
        backend["max-ring-page-order"] = Text(MaxRingOrder);
        backend["multi-queue-max-queues"] = "1";
        if (!_disk.IsReadOnly)
        {
            backend["feature-discard"] = "1";
            backend["discard-granularity"] = Text(Disk.PhysicalSectorSize);
            backend["discard-alignment"] = "0";
            backend["discard-secure"] = "0";
        }
    }

    /// <inheritdoc/>
    protected override void OnConnect()
    {
        if (ReadFrontend("protocol") is string protocol && protocol != Protocol)
        {
            throw new FrontendException($"the ring's layout is '{protocol}' and not {Protocol}");
        }

        SharedRing ring = new(MapRing(), BlockRequest.SlotSize);
        BlockQueue queue = new(_disk, Context.Grants, ring, ThreadCount, _deviceName, Logger, Fail);
        _queue = queue;
        queue.Start(BindChannel("event-channel", queue.Notify));
    }

    /// <inheritdoc/>
    protected override void OnDisconnect()
    {
        _queue?.Dispose();
        _queue = null;
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private GuestPages MapRing()
    {
        if (ReadFrontend("ring-page-order") is null or "0")
        {
            return MapPages("ring-ref");
        }

        int count = 1 << (int)ReadFrontendNumber("ring-page-order", MaxRingOrder);
        return MapPages([.. Enumerable.Range(0, count).Select(i => $"ring-ref{i}")]);
    }
}
