namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>What goes to the peer.</summary>
internal sealed partial class TcpEndpoint
{
    /// <summary>Sends whatever is due and possible: data, finish, acknowledgement.</summary>
    public void Output(long now) => Output(now, isProbe: false);

    private void Output(long now, bool isProbe)
    {
        IsBlocked = false;
        switch (State)
        {
            case TcpState.Closed or TcpState.Opening:
                return;
            case TcpState.SynSent or TcpState.SynReceived:
                if (_sendNext == _initialSend)
                {
                    SendSyn(now);
                }

                return;
        }

        if (!IsSendOver)
        {
            SendData(now, isProbe);
        }

        if (_isAckDue && !IsBlocked)
        {
            Send(Header(_sendNext, TcpFlags.Acknowledge), default, default);
        }
    }

    private void SendSyn(long now)
    {
        TcpHeader header = Header(_initialSend, State == TcpState.SynSent ? TcpFlags.Syn : TcpFlags.Syn | TcpFlags.Acknowledge) with
        {
            Window = (ushort)Math.Min(_limits.ReceiveCapacity, MaxWindowField),
            SegmentSize = (ushort)_limits.SegmentSize,
            WindowScale = _receiveScale,
        };
        if (State == TcpState.SynSent)
        {
            header = header with { Acknowledgement = 0 };
        }

        if (!Send(header, default, default))
        {
            return;
        }

        _sendNext = _initialSend + 1;
        _sendMax = _sendNext;
        _retransmitAt = now + _timer.Timeout;
    }

    private void SendData(long now, bool isProbe)
    {
        while (true)
        {
            int inFlight = (int)(_sendNext - _sendUnacknowledged);
            int unsent = Sending.Count - inFlight;
            if (unsent < 0)
            {
                // The finish is under way, too.
                return;
            }

            long window = (long)_sendWindow - inFlight;
            if (isProbe && window <= 0)
            {
                window = 1;
            }

            int length = (int)Math.Clamp(window, 0, Math.Min(unsent, Math.Max(_link.MaxPayload, _segmentSize)));
            bool isFin = _isFinQueued && length == unsent;
            if ((length == 0 && !isFin) || IsHeldBack(length, unsent, inFlight))
            {
                break;
            }

            if (!SendDataSegment(inFlight, length, isFin))
            {
                return;
            }

            AdvanceSend(length, isFin, isProbe, now);
            if (isProbe)
            {
                return;
            }
        }

        if (Sending.Count > 0 && _sendNext == _sendUnacknowledged && _probeAt == Never)
        {
            // The window is closed, and the message that it is open again may be lost.
            _retransmitAt = Never;
            _probeAt = now + _timer.Timeout;
        }
    }

    /// <summary>Whether to wait for an acknowledgement: no crumbs while more could follow, and one at a time after a loss.</summary>
    private bool IsHeldBack(int length, int unsent, int inFlight) =>
        inFlight > 0 && (_isRecovering || (length < unsent && length < _segmentSize));

    private bool SendDataSegment(int offset, int length, bool isFin)
    {
        ReadOnlySpan<byte> payload = Sending.Peek(offset, length).Span;
        ReadOnlySpan<byte> rest = Sending.Peek(offset + payload.Length, length - payload.Length).Span;
        TcpFlags flags = TcpFlags.Acknowledge;
        flags |= isFin ? TcpFlags.Fin : TcpFlags.None;
        flags |= length > 0 && offset + length == Sending.Count ? TcpFlags.Push : TcpFlags.None;
        return Send(Header(_sendNext, flags), payload, rest);
    }

    private void AdvanceSend(int length, bool isFin, bool isProbe, long now)
    {
        uint first = _sendNext;
        _sendNext += (uint)length;
        if (isFin)
        {
            if (!_isFinSent)
            {
                _isFinSent = true;
                _finSequence = _sendNext;
                State = State == TcpState.CloseWait ? TcpState.LastAck : TcpState.FinWait1;
            }

            _sendNext++;
        }

        if (Sequence.IsAfter(_sendNext, _sendMax))
        {
            if (_measured is null && !_isRecovering)
            {
                _measured = (first, now);
            }

            _sendMax = _sendNext;
        }

        if (isProbe)
        {
            _probeAt = now + _timer.Timeout;
        }
        else if (_retransmitAt == Never)
        {
            _retransmitAt = now + _timer.Timeout;
        }
    }

    private void SendReset(uint sequence) =>
        _link.TrySend(new TcpHeader(0, 0, sequence, 0, TcpFlags.Reset, 0), default, default, _segmentSize);

    private TcpHeader Header(uint sequence, TcpFlags flags)
    {
        int room = ReceiveRoom;
        uint edge = Sequence.Max(_receiveEdge, _receiveNext + (uint)Math.Max(room, 0));
        uint window = Math.Min((edge - _receiveNext) >> (_receiveScale ?? 0), MaxWindowField);
        return new TcpHeader(0, 0, sequence, _receiveNext, flags, (ushort)window);
    }

    private bool Send(in TcpHeader header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest)
    {
        if (!_link.TrySend(header, payload, rest, _segmentSize))
        {
            IsBlocked = true;
            return false;
        }

        if (header.Has(TcpFlags.Acknowledge))
        {
            _isAckDue = false;
            int shift = header.Has(TcpFlags.Syn) ? 0 : _receiveScale ?? 0;
            _receiveEdge = Sequence.Max(_receiveEdge, _receiveNext + ((uint)header.Window << shift));
        }

        return true;
    }
}
