using System.Globalization;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Server;
using CooperativeLinux.Devices.FileShare.Transport;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Grants;

namespace CooperativeLinux.Devices.FileShare;

/// <summary>
/// Backend of a shared folder: device type 9pfs, 9P2000.L over the rings of Xen's public/io/9pfs.h. Requests are served by threads of
/// its own, and quick ones by the vCPU that sends them.
/// </summary>
public sealed class FileShareBackend : BackendDevice
{
    // Linux takes two whatever is offered; more than that are of no use.
    private const int MaxRings = 4;

    // 2^8 pages: 512 KiB each way, which is also the largest message of Linux's driver; one more order would only cost memory.
    private const int OfferedOrder = 8;
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(5);

    private readonly FileShareOptions _options;
    private readonly HostFolder _folder;
    private RingPort[] _ports = [];
    private ShareSession? _session;
    private RequestWorkers? _workers;

    /// <summary>Opens the folder.</summary>
    /// <param name="context">The machine.</param>
    /// <param name="id">Number of the device.</param>
    /// <param name="options">The folder and how it is shared.</param>
    /// <exception cref="IOException">The folder cannot be opened; the message is made for the user.</exception>
    public FileShareBackend(DeviceContext context, int id, FileShareOptions options)
        : base(context, "9pfs", id)
    {
        _options = options;
        _folder = HostFolder.Open(options.Folder);
    }

    /// <inheritdoc/>
    protected override void Describe(IDictionary<string, string> frontend, IDictionary<string, string> backend)
    {
        frontend["tag"] = _options.Tag;
        backend["versions"] = "1";
        backend["max-rings"] = MaxRings.ToString(CultureInfo.InvariantCulture);
        backend["max-ring-page-order"] = OfferedOrder.ToString(CultureInfo.InvariantCulture);
    }

    /// <inheritdoc/>
    protected override void OnConnect()
    {
        if (ReadFrontendNumber("version") != 1)
        {
            throw new FrontendException("'version' is not 1");
        }

        uint count = ReadFrontendNumber("num-rings", MaxRings);
        if (count == 0)
        {
            throw new FrontendException("'num-rings' is 0");
        }

        RingPort[] ports = new RingPort[count];
        for (int i = 0; i < count; i++)
        {
            ports[i] = new RingPort(MapRing($"ring-ref{i}"));
        }

        _ports = ports;
        int messageSize = ports.Min(port => port.Size);
        ShareSession session = new(_folder, _options, messageSize, new PortSink(ports), Logger);
        RequestWorkers workers = new(ports, session.AnswerBufferSize, Serve, session.IsQuick, Name);
        (_session, _workers) = (session, workers);
        for (int i = 0; i < count; i++)
        {
            ports[i].Channel = BindChannel($"event-channel-{i}", workers.OnNotify);

            // For answers to what was in the ring before.
            ports[i].Channel!.Notify();
        }

        bool Serve(int ring, byte[] message, int length, byte[] answer)
        {
            bool isSane = length > 0 && session.Serve(ring, message.AsSpan(0, length), answer);
            if (!isSane)
            {
                Fail(length < 0 ? $"a message in ring {ring} has an impossible size" : $"a request's tag is in use in ring {ring}");
            }

            return isSane;
        }
    }

    /// <inheritdoc/>
    protected override void OnDisconnect()
    {
        foreach (RingPort port in _ports)
        {
            port.Dispose();
        }

        _workers?.Stop(StopPatience);
        _session?.Dispose();
        _workers = null;
        _session = null;
    }

    private ShareRing MapRing(string key)
    {
        GuestPages page = MapPages(key);
        ShareRing ring = ShareRing.TryMap(Context.Grants, page) ?? throw new FrontendException($"'{key}' names a ring of impossible size, or with a page that is not granted");
        return ring.Size >= ShareSession.MinMessageSize ? ring : throw new FrontendException($"'{key}' names a ring that is too small");
    }

    /// <summary>Answers of one connection go to its own rings, also those that come when there is another one.</summary>
    private sealed class PortSink(RingPort[] ports) : IAnswerSink
    {
        public void Send(int ring, ReadOnlySpan<byte> message) => ports[ring].Put(message);
    }
}
