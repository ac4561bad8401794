using CooperativeLinux.Devices.Network.Rings;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Events;

namespace CooperativeLinux.Devices.Network;

/// <summary>
/// Backend of a network card (vif). A thread of its own takes the guest's frames and hands them to the network; a few small ones are
/// handed over at once by the vCPU that sends them, which is less work than waking the thread. Frames for the guest are put by whoever
/// has them, directly into its pages.
/// </summary>
public sealed class NetworkDevice : BackendDevice, INetworkPort
{
    // Frames between two looks at what else there is to do.
    private const int BatchSize = 64;

    // What a vCPU hands over itself for one notification: so many frames, each of so many bytes at most.
    private const int SmallBatchSize = 4, SmallFrame = 2048;

    private readonly INetwork _network;
    private readonly MacAddress _address;
    private readonly Lock _transmitGate = new();
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
        TransmitRing transmit = new(MapPages("tx-ring-ref"), Context.Grants);
        lock (_receiveGate)
        {
            _receive = new ReceiveRing(MapPages("rx-ring-ref"), Context.Grants, canChain);
        }

        _isStopping = false;
        _isStarved = false;
        _channel = BindChannel("event-channel", OnNotify);
        _thread = new Thread(() => Serve(transmit)) { IsBackground = true, Name = Name };
        _network.Attach(this);
        lock (_transmitGate)
        {
            _transmit = transmit;
        }

        _thread.Start();
    }

    /// <inheritdoc/>
    protected override void OnDisconnect()
    {
        _isStopping = true;
        _wake.Set();
        _thread?.Join();
        _thread = null;
        lock (_transmitGate)
        {
            _transmit = null;
        }

        _network.Detach(this);
        lock (_receiveGate)
        {
            _receive = null;
        }

        _channel?.Dispose();
        _channel = null;
    }

    // On the thread of a vCPU.
    private void OnNotify()
    {
        if (!TryHandOver())
        {
            _wake.Set();
        }
    }

    /// <summary>Hands a few small frames to the network, unless somebody else is at it.</summary>
    /// <returns>Whether nothing is left, and the guest notifies again when there is.</returns>
    private bool TryHandOver()
    {
        if (_isStarved || !_transmitGate.TryEnter())
        {
            return false;
        }

        try
        {
            if (_transmit is not { } transmit || !transmit.IsNextAtMost(SmallFrame) || !_network.TryBeginSmallBatch())
            {
                return false;
            }

            try
            {
                for (int i = 0; i < SmallBatchSize && transmit.IsNextAtMost(SmallFrame); i++)
                {
                    TryTakeFrame(transmit);
                }

                if (transmit.Publish())
                {
                    _channel?.Notify();
                }
            }
            finally
            {
                _network.EndSmallBatch();
            }

            return Failure(transmit) is null && !transmit.RequestNotification() && Failure(transmit) is null;
        }
        catch (Exception exception)
        {
            // Whatever it is must not take the process along.
            Fail($"an internal error: {exception}");
            return true;
        }
        finally
        {
            _transmitGate.Exit();
        }
    }

    private void Serve(TransmitRing transmit)
    {
        try
        {
            while (!_isStopping && Failure(transmit) is null)
            {
                bool isBusy;
                lock (_transmitGate)
                {
                    isBusy = TakeFrames(transmit);
                    isBusy |= _isStarved && LookForRoom();
                    isBusy |= !isBusy && transmit.RequestNotification();
                }

                if (!isBusy && Failure(transmit) is null)
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
        while (count < BatchSize && TryTakeFrame(transmit))
        {
            count++;
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

    private bool TryTakeFrame(TransmitRing transmit)
    {
        bool isTaken = transmit.TryTake(out ReadOnlySpan<byte> frame, out FrameOffload offload);
        if (isTaken && !frame.IsEmpty)
        {
            _network.Transmit(frame, offload);
        }

        return isTaken;
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
