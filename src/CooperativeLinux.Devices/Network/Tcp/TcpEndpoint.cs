namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>
/// One end of a TCP connection with the guest (RFC 9293): a state machine without sockets, threads or clocks. Its owner gives it what
/// comes and the time in milliseconds, calls <see cref="Output"/> after each change, and <see cref="Tick"/> at <see cref="Deadline"/>.
/// One thread at a time.
/// </summary>
/// <remarks>The way to the guest loses nothing and has no other users, so there is no congestion control: the peer's window is the
/// limit, and after a loss one segment at a time is sent until the gap is closed.</remarks>
internal sealed partial class TcpEndpoint
{
    /// <summary>The time that is never reached.</summary>
    public const long Never = long.MaxValue;

    /// <summary>How long a closed connection answers late segments. Short, since none can be under way for long.</summary>
    public const int TimeWait = 2000;

    private const int DefaultSegmentSize = 536;
    private const int MinSegmentSize = 64;
    private const int MaxWindowField = 65535;
    private const int DuplicatesForLoss = 3;

    private readonly ITcpLink _link;
    private readonly ITcpUser _user;
    private readonly TcpLimits _limits;
    private readonly uint _initialSend;
    private readonly RetransmissionTimer _timer = new();
    private readonly ReceivedRanges _ahead = new();

    // Names as in RFC 9293: SND.UNA, SND.NXT, the highest SND.NXT ever, SND.WND, SND.WL1, SND.WL2.
    private uint _sendUnacknowledged;
    private uint _sendNext;
    private uint _sendMax;
    private uint _sendWindow;
    private uint _windowSequence;
    private uint _windowAcknowledgement;
    private byte _sendScale;
    private int _segmentSize = DefaultSegmentSize;
    private bool _isFinQueued;
    private bool _isFinSent;
    private uint _finSequence;

    // RCV.NXT, and the right edge of the window as the peer knows it.
    private uint _receiveNext;
    private uint _receiveEdge;
    private byte? _receiveScale;
    private uint? _peerFin;
    private bool _isAckDue;

    private int _duplicates;
    private bool _isRecovering;
    private uint _recoveryEnd;
    private (uint Sequence, long Start)? _measured;
    private long _retransmitAt = Never;
    private long _probeAt = Never;
    private long _closeAt = Never;

    /// <param name="link">The way to the peer.</param>
    /// <param name="user">Who uses the connection.</param>
    /// <param name="limits">Sizes.</param>
    /// <param name="initialSequence">First sequence number; not to be guessed.</param>
    public TcpEndpoint(ITcpLink link, ITcpUser user, TcpLimits limits, uint initialSequence)
    {
        _link = link;
        _user = user;
        _limits = limits;
        _initialSend = initialSequence;
        _sendUnacknowledged = initialSequence;
        _sendNext = initialSequence;
        _sendMax = initialSequence;

        // The least shift that lets the window be told.
        byte scale = 0;
        while (limits.ReceiveCapacity >> scale > MaxWindowField)
        {
            scale++;
        }

        _receiveScale = scale;
    }

    public TcpState State { get; private set; }

    /// <summary>When <see cref="Tick"/> is to be called.</summary>
    public long Deadline => Math.Min(_retransmitAt, Math.Min(_probeAt, _closeAt));

    /// <summary>Whether the link had no room at the last <see cref="Output"/>.</summary>
    public bool IsBlocked { get; private set; }

    /// <summary>Data to be sent or not yet acknowledged. The user adds to it, up to <see cref="SendRoom"/>.</summary>
    public ChunkBuffer Sending { get; } = new();

    /// <summary>Data received and not used up; see <see cref="Consume"/>.</summary>
    public ChunkBuffer Received { get; } = new();

    /// <summary>Whether somebody reads <see cref="Received"/> at his own pace, so that its memory must not be used for others even when the
    /// connection ends.</summary>
    public bool IsReceivedShared { get; set; }

    /// <summary>Bytes the user may add to <see cref="Sending"/>.</summary>
    public int SendRoom =>
        State is TcpState.Established or TcpState.CloseWait && !_isFinQueued
            ? Math.Max(0, _limits.SendAhead - (Sending.Count - (int)(_sendNext - _sendUnacknowledged)))
            : 0;

    /// <summary>Whether the peer has finished, and all it sent has been used up.</summary>
    public bool IsDrained =>
        Received.Count == 0 && State is TcpState.CloseWait or TcpState.LastAck or TcpState.Closing or TcpState.TimeWait or TcpState.Closed;

    /// <summary>A peer wants to connect. It gets no answer before <see cref="Accept"/> or <see cref="Abort"/>.</summary>
    /// <param name="syn">Its segment.</param>
    public void Open(in TcpHeader syn)
    {
        State = TcpState.Opening;
        TakeSyn(syn);
    }

    /// <summary>Lets the peer in.</summary>
    public void Accept(long now)
    {
        State = TcpState.SynReceived;
        Output(now);
    }

    /// <summary>Connects to the peer.</summary>
    public void Connect(long now)
    {
        State = TcpState.SynSent;
        Output(now);
    }

    /// <summary>The user adds nothing to <see cref="Sending"/> any more. Call <see cref="Output"/> after it.</summary>
    public void Finish() => _isFinQueued = true;

    /// <summary>The user has used up data of <see cref="Received"/>.</summary>
    public void Consume(int count)
    {
        Received.Remove(count);
        if (_ahead.IsEmpty)
        {
            Received.Trim();
        }

        // Tell of room when it is worth a segment to the peer.
        int grown = (int)(_receiveNext + (uint)ReceiveRoom - _receiveEdge);
        if (grown >= Math.Min(_limits.ReceiveCapacity / 2, 2 * _limits.SegmentSize))
        {
            _isAckDue = true;
        }
    }

    /// <summary>Ends the connection at once, and tells the peer.</summary>
    public void Abort()
    {
        if (State is not (TcpState.Closed or TcpState.SynSent or TcpState.TimeWait))
        {
            // To somebody who waits for an answer to its SYN, a refusal acknowledges that.
            _link.TrySend(Header(_sendMax, TcpFlags.Reset | TcpFlags.Acknowledge) with { Window = 0 }, default, default, _segmentSize);
        }

        Close();
    }

    /// <summary>What was due at a time.</summary>
    public void Tick(long now)
    {
        if (now >= _closeAt)
        {
            if (Received.Count > 0)
            {
                _closeAt = now + TimeWait;
                return;
            }

            Close();
            _user.OnClosed();
            return;
        }

        if (now >= _retransmitAt || now >= _probeAt)
        {
            bool isProbe = now >= _probeAt;
            if (!_timer.TryBackOff())
            {
                Break(isTimeout: true);
                return;
            }

            GoBack();
            Output(now, isProbe);
        }
    }

    private int ReceiveRoom => Math.Min(_limits.ReceiveCapacity - Received.Count, MaxWindowField << (_receiveScale ?? 0));

    private bool IsSendOver => State is TcpState.FinWait2 or TcpState.TimeWait;

    private void TakeSyn(in TcpHeader syn)
    {
        _receiveNext = syn.Sequence + 1;
        _receiveEdge = _receiveNext + (uint)Math.Min(_limits.ReceiveCapacity, MaxWindowField);
        _segmentSize = Math.Max(syn.SegmentSize == 0 ? DefaultSegmentSize : syn.SegmentSize, MinSegmentSize);
        _sendScale = syn.WindowScale ?? 0;
        if (syn.WindowScale is null)
        {
            // Both or none.
            _receiveScale = null;
        }

        _sendWindow = Math.Min(syn.Window, (uint)_limits.SendCapacity);
        _windowSequence = syn.Sequence;
        _windowAcknowledgement = _sendUnacknowledged;
    }

    /// <summary>Sends anew from the first byte that was not acknowledged.</summary>
    private void GoBack()
    {
        _retransmitAt = Never;
        _probeAt = Never;
        _sendNext = _sendUnacknowledged;
        _measured = null;
        _isRecovering = _sendMax != _sendUnacknowledged;
        _recoveryEnd = _sendMax;
        _duplicates = 0;
    }

    private void Break(bool isTimeout)
    {
        if (isTimeout)
        {
            Abort();
        }
        else
        {
            Close();
        }

        _user.OnReset(isTimeout);
    }

    private void Close()
    {
        State = TcpState.Closed;
        _retransmitAt = Never;
        _probeAt = Never;
        _closeAt = Never;
        _isAckDue = false;
        IsBlocked = false;
        Sending.Clear();
        Received.Clear(IsReceivedShared);
    }
}
