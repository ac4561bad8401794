namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>States of a connection (RFC 9293, 3.3.2).</summary>
internal enum TcpState
{
    Closed,

    /// <summary>The peer wants to connect; the answer depends on somebody else.</summary>
    Opening,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// <summary>Sizes of an endpoint.</summary>
/// <param name="SegmentSize">Bytes of payload told to the peer as the most in one segment.</param>
/// <param name="ReceiveCapacity">Most bytes received and not used up.</param>
/// <param name="SendCapacity">Most bytes sent and not acknowledged, however much the peer lets come.</param>
/// <param name="SendAhead">Most bytes held that are not even sent.</param>
internal sealed record TcpLimits(int SegmentSize, int ReceiveCapacity = 1 << 20, int SendCapacity = 1 << 20, int SendAhead = 1 << 18);
