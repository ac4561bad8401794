namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>The way from an endpoint to its peer.</summary>
internal interface ITcpLink
{
    /// <summary>Bytes of payload in the largest segment that is cut to the peer's size on the way; 0 if none is.</summary>
    int MaxPayload { get; }

    /// <summary>Sends a segment.</summary>
    /// <param name="header">Header; ports are filled in by the link.</param>
    /// <param name="payload">Payload, first part.</param>
    /// <param name="rest">Payload, second part.</param>
    /// <param name="segmentSize">Bytes of payload the peer takes in one segment.</param>
    /// <returns>False if there is no room now; then <see cref="TcpEndpoint.Output"/> is to be called when there is.</returns>
    bool TrySend(in TcpHeader header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, int segmentSize);
}

/// <summary>What uses an endpoint. Calls come while the endpoint works: the user must not call back into it, but note what to do.</summary>
internal interface ITcpUser
{
    /// <summary>The connection stands.</summary>
    void OnEstablished();

    /// <summary>Data came in order, and none waits before it.</summary>
    /// <returns>Bytes that were used up at once; the others are kept in <see cref="TcpEndpoint.Received"/>.</returns>
    int OnData(ReadOnlySpan<byte> data);

    /// <summary>The peer has sent all it will.</summary>
    void OnPeerFinished();

    /// <summary>The peer has taken data, so that more can be sent.</summary>
    void OnSendRoom();

    /// <summary>The connection has broken down.</summary>
    /// <param name="isTimeout">The peer does not answer; otherwise it has said so.</param>
    void OnReset(bool isTimeout);

    /// <summary>The connection has ended, and nothing is left to do for it.</summary>
    void OnClosed();
}
