namespace CooperativeLinux.Devices.Network;

/// <summary>What a guest's network device is plugged into. It outlives the device: a guest that reboots is plugged in again.</summary>
public interface INetwork : IDisposable
{
    /// <summary>Plugs a guest in; it takes the place of the one before.</summary>
    void Attach(INetworkPort port);

    /// <summary>Unplugs a guest; the port is not called any more once this has returned. Without effect if it is not the one plugged in.</summary>
    void Detach(INetworkPort port);

    /// <summary>Takes a frame from the guest. Does not block: what cannot be passed on is dropped.</summary>
    /// <param name="frame">Ethernet frame without checksum, any content; at most <see cref="NetworkLimits.MaxFrame"/> bytes, valid during the call.</param>
    /// <param name="offload">What the guest left undone.</param>
    void Transmit(ReadOnlySpan<byte> frame, FrameOffload offload);

    /// <summary>No further frame follows at once: acknowledge what came.</summary>
    void EndBatch();

    /// <summary>Begins a batch of a few small frames on the thread of a vCPU, which must not wait.</summary>
    /// <returns>False if the network is busy, or would have to wait for others: then the card's own thread does it. After true the frames follow,
    /// and <see cref="EndSmallBatch"/>.</returns>
    bool TryBeginSmallBatch() => false;

    /// <summary>Like <see cref="EndBatch"/>, with whatever may take long left to other threads.</summary>
    void EndSmallBatch() => EndBatch();

    /// <summary>A port that could not take a frame can again.</summary>
    void OnRoom();
}

/// <summary>The guest, as a network sees it.</summary>
public interface INetworkPort
{
    /// <summary>Whether the guest takes TCP over IPv4 in frames larger than its MTU.</summary>
    bool TakesSegmentationV4 { get; }

    /// <summary>Whether the guest takes TCP over IPv6 in frames larger than its MTU.</summary>
    bool TakesSegmentationV6 { get; }

    /// <summary>Gives the guest a frame, in parts that are joined.</summary>
    /// <param name="headers">The frame's start, with all headers.</param>
    /// <param name="payload">What follows.</param>
    /// <param name="rest">What follows that.</param>
    /// <param name="offload">What is left undone.</param>
    /// <returns>False if the guest has no room now; then <see cref="INetwork.OnRoom"/> will be called when it has.</returns>
    bool TryDeliver(ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, FrameOffload offload);
}

/// <summary>Sizes that both sides of a port keep to.</summary>
public static class NetworkLimits
{
    /// <summary>Bytes of the largest frame: an IP packet of 65535 bytes behind an Ethernet header.</summary>
    public const int MaxFrame = 65535 + 14;

    /// <summary>Bytes of IP packet on a wire.</summary>
    public const int Mtu = 1500;
}
