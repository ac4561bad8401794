using CooperativeLinux.Devices.Network.Rings;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Events;

namespace CooperativeLinux.Devices.Network;

/// <summary>
/// Backend of a network card (vif). A thread of its own takes the guest's frames and hands them to the network; frames for the
/// guest are put by whoever has them, directly into its pages.
/// </summary>
public sealed class NetworkDevice : BackendDevice, INetworkPort
{
    // Frames between two looks at what else there is to do.
    private const int BatchSize = 64;

    private readonly INetwork _network;
    private readonly MacAddress _address;
    private readonly Lock _receiveGate = new();
    private readonly AutoResetEvent _wake = new(false);
    private TransmitRing? _transmit;
    private ReceiveRing? _receive;
    private HostChannel? _channel;
    private Thread? _thread;
    private volatile bool _isStopping;
    private volatile bool _isStarved;

    /// <param name="context">The machine.</param>
    /// <param name="id">Number of the card: ethN in the guest.</param>
    /// <param name="network">What it is plugged into; not disposed with the card.</param>
    /// <param name="address">The card's address.</param>
    public NetworkDevice(DeviceContext context, int id, INetwork network, MacAddress address)
        : base(context, "vif", id)
    {
        _network = network;
        _address = address;
    }

    /// <inheritdoc/>
    public bool TakesSegmentationV4 { get; private set; }

    /// <inheritdoc/>
    public bool TakesSegmentationV6 { get; private set; }

    /// <inheritdoc/>
    protected override XenbusState ConnectAt => XenbusState.Connected;

    /// <inheritdoc/>
    public bool TryDeliver(ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, FrameOffload offload)
    {
        bool notify;
        lock (_receiveGate)
        {
            if (_receive is not { } ring || ring.IsBroken)
            {
                return true;
            }

            if (!ring.TryPut(headers, payload, rest, offload))
            {
                if (!_isStarved)
                {
                    // The thread waits for pages from now on, or closes the device.
                    _isStarved = true;
                    _wake.Set();
                }

                return ring.IsBroken;
            }

            notify = ring.Publish();
        }

        if (notify)
        {
            _channel?.Notify();
        }

        return true;
    }

    /// <inheritdoc/>
    protected override void Describe(IDictionary<string, string> frontend, IDictionary<string, string> backend)
    {
        string address = _address.ToString();
        frontend["handle"] = "0";
        frontend["mac"] = address;
        backend["handle"] = "0";
        backend["mac"] = address;
        backend["feature-rx-copy"] = "1";
        backend["feature-rx-flip"] = "0";
        backend["feature-sg"] = "1";
        backend["feature-gso-tcpv4"] = "1";
        backend["feature-gso-tcpv6"] = "1";
        backend["feature-no-csum-offload"] = "0";
        backend["feature-ipv6-csum-offload"] = "1";
        backend["feature-multicast-control"] = "0";
    }

    /// <inheritdoc/>
    protected override void OnConnect()
    {
        if (!ReadFrontendFlag("request-rx-copy"))
        {
            throw new FrontendException("'request-rx-copy' is not 1");
        }

        bool canChain = ReadFrontendFlag("feature-sg");
        TakesSegmentationV4 = canChain && ReadFrontendFlag("feature-gso-tcpv4");
        TakesSegmentationV6 = canChain && ReadFrontendFlag("feature-gso-tcpv6");
        _transmit = new TransmitRing(MapPages("tx-ring-ref"), Context.Grants);
        lock (_receiveGate)
        {
            _receive = new ReceiveRing(MapPages("rx-ring-ref"), Context.Grants, canChain);
        }

        _isStopping = false;
        _isStarved = false;
        _channel = BindChannel("event-channel", () => _wake.Set());
        _thread = new Thread(Serve) { IsBackground = true, Name = Name };
        _network.Attach(this);
        _thread.Start();
    }

    /// <inheritdoc/>
    protected override void OnDisconnect()
    {
        _isStopping = true;
        _wake.Set();
        _thread?.Join();
        _thread = null;
        _network.Detach(this);
        lock (_receiveGate)
        {
            _receive = null;
        }

        _transmit = null;
        _channel?.Dispose();
        _channel = null;
    }

    private void Serve()
    {
        try
        {
            TransmitRing transmit = _transmit!;
            while (!_isStopping && Failure(transmit) is null)
            {
                bool isBusy = TakeFrames(transmit);
                isBusy |= _isStarved && LookForRoom();
                if (!isBusy && !transmit.RequestNotification() && Failure(transmit) is null)
                {
                    _wake.WaitOne();
                }
            }

            if (!_isStopping && Failure(transmit) is { } reason)
            {
                Fail(reason);
            }
        }
        catch (Exception exception)
        {
            // Whatever it is must not take the process along.
            Fail($"an internal error: {exception}");
        }
    }

    private string? Failure(TransmitRing transmit) =>
        transmit.Failure ?? (_receive is { IsBroken: true } ? "an impossible index in the receive ring" : null);

    private bool TakeFrames(TransmitRing transmit)
    {
        int count = 0;
        while (count < BatchSize && transmit.TryTake(out ReadOnlySpan<byte> frame, out FrameOffload offload))
        {
            count++;
            if (!frame.IsEmpty)
            {
                _network.Transmit(frame, offload);
            }
        }

        if (count > 0)
        {
            if (transmit.Publish())
            {
                _channel?.Notify();
            }

            _network.EndBatch();
        }

        return count > 0;
    }

    /// <summary>Returns whether there is room again.</summary>
    private bool LookForRoom()
    {
        lock (_receiveGate)
        {
            if (_receive is not { } ring || !ring.RequestRoom())
            {
                return false;
            }

            _isStarved = false;
        }

        _network.OnRoom();
        return true;
    }
}
