namespace CooperativeLinux.Devices.Network;

/// <summary>What is known about the TCP or UDP checksum of a frame.</summary>
public enum FrameChecksum : byte
{
    /// <summary>The field holds the whole checksum; nobody has verified it.</summary>
    Unverified,

    /// <summary>The field holds only the sum of the pseudo-header; whoever puts the frame on a wire completes it.</summary>
    Partial,

    /// <summary>The data is known to be good, whatever the field holds.</summary>
    Verified,
}

/// <summary>How a frame larger than the MTU is cut before it goes on a wire. The values are those of the netif protocol
/// (XEN_NETIF_GSO_TYPE_*).</summary>
public enum FrameSegmentation : byte
{
    None = 0,
    TcpV4 = 1,
    TcpV6 = 2,
}

/// <summary>Work on a frame that its sender left to others, and that is not done at all between two ends of the same machine.</summary>
/// <param name="Checksum">State of the checksum.</param>
/// <param name="Segmentation">Whether and how it is to be cut; then the checksum is <see cref="FrameChecksum.Partial"/>.</param>
/// <param name="SegmentSize">Bytes of TCP payload in a piece.</param>
public readonly record struct FrameOffload(FrameChecksum Checksum, FrameSegmentation Segmentation = FrameSegmentation.None, ushort SegmentSize = 0);
