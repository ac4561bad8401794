namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>What comes from the peer.</summary>
internal sealed partial class TcpEndpoint
{
    /// <summary>Takes a segment. Call <see cref="Output"/> after it, or after several.</summary>
    public void Receive(in TcpHeader header, ReadOnlySpan<byte> payload, long now)
    {
        switch (State)
        {
            case TcpState.Closed:
                return;
            case TcpState.Opening:
                if (header.Has(TcpFlags.Reset) && header.Sequence == _receiveNext)
                {
                    Break(isTimeout: false);
                }

                return;
            case TcpState.SynSent:
                ReceiveSynAck(header);
                return;
        }

        if (header.Has(TcpFlags.Reset))
        {
            ReceiveReset(header.Sequence);
        }
        else if (header.Has(TcpFlags.Syn))
        {
            ReceiveSynAgain(header.Sequence);
        }
        else if (header.Has(TcpFlags.Acknowledge))
        {
            ReceiveNormal(header, payload, now);
        }
    }

    private void ReceiveSynAck(in TcpHeader header)
    {
        bool isAnswer = header.Has(TcpFlags.Acknowledge) && header.Acknowledgement == _sendMax && _sendMax != _initialSend;
        if (header.Has(TcpFlags.Reset))
        {
            if (isAnswer)
            {
                Break(isTimeout: false);
            }

            return;
        }

        if (!isAnswer)
        {
            if (header.Has(TcpFlags.Acknowledge))
            {
                SendReset(header.Acknowledgement);
            }

            return;
        }

        if (header.Has(TcpFlags.Syn))
        {
            _sendUnacknowledged = _sendMax;
            _sendNext = _sendMax;
            TakeSyn(header);
            _isAckDue = true;
            Establish();
        }
    }

    // Only the exact number counts, so that nobody can guess it (RFC 5961).
    private void ReceiveReset(uint sequence)
    {
        if (sequence == _receiveNext)
        {
            Break(isTimeout: false);
        }
        else if (sequence - _receiveNext < _receiveEdge - _receiveNext)
        {
            _isAckDue = true;
        }
    }

    private void ReceiveSynAgain(uint sequence)
    {
        if (State == TcpState.SynReceived && sequence == _receiveNext - 1)
        {
            _sendNext = _initialSend;
        }
        else
        {
            _isAckDue = true;
        }
    }

    private void ReceiveNormal(in TcpHeader header, ReadOnlySpan<byte> payload, long now)
    {
        uint sequence = header.Sequence;
        bool isFin = header.Has(TcpFlags.Fin);
        int old = (int)(_receiveNext - sequence);
        if (old > 0)
        {
            // The peer does not know that this has come.
            _isAckDue = true;
            isFin &= old <= payload.Length;
            payload = payload[Math.Min(old, payload.Length)..];
            sequence = _receiveNext;
        }

        int offset = (int)(sequence - _receiveNext);
        int limit = (int)(_receiveEdge - _receiveNext);
        if (offset > limit)
        {
            _isAckDue = true;
            return;
        }

        if (offset + payload.Length > limit)
        {
            _isAckDue = true;
            isFin = false;
            payload = payload[..(limit - offset)];
        }

        if (!ReceiveAcknowledgement(header, isPure: payload.IsEmpty && !isFin && old <= 0, now))
        {
            return;
        }

        if ((!payload.IsEmpty || isFin) && State is TcpState.Established or TcpState.FinWait1 or TcpState.FinWait2)
        {
            ReceiveData(offset, payload, isFin, now);
        }
    }

    /// <summary>Returns whether the rest of the segment counts.</summary>
    private bool ReceiveAcknowledgement(in TcpHeader header, bool isPure, long now)
    {
        uint acknowledged = header.Acknowledgement;
        if (State == TcpState.SynReceived)
        {
            if (acknowledged != _sendMax || _sendMax == _initialSend)
            {
                SendReset(acknowledged);
                return false;
            }

            _sendUnacknowledged = acknowledged;
            _sendNext = acknowledged;
            _windowSequence = header.Sequence - 1;
            Establish();
        }

        if (Sequence.IsAfter(acknowledged, _sendMax))
        {
            _isAckDue = true;
            return false;
        }

        _timer.Hear();
        uint window = Math.Min((uint)header.Window << _sendScale, (uint)_limits.SendCapacity);
        if (Sequence.IsAfter(acknowledged, _sendUnacknowledged))
        {
            Acknowledge(acknowledged, now);
        }
        else if (acknowledged == _sendUnacknowledged && isPure && _sendMax != _sendUnacknowledged && window == _sendWindow && _probeAt == Never)
        {
            _duplicates++;
            if (_duplicates == DuplicatesForLoss && !_isRecovering)
            {
                GoBack();
            }
        }

        if (State != TcpState.Closed
            && (Sequence.IsBefore(_windowSequence, header.Sequence)
                || (_windowSequence == header.Sequence && !Sequence.IsAfter(_windowAcknowledgement, acknowledged))))
        {
            _sendWindow = window;
            _windowSequence = header.Sequence;
            _windowAcknowledgement = acknowledged;
            if (window > 0 && _probeAt != Never)
            {
                // What was sent as a probe may have been refused.
                _timer.Reset();
                GoBack();
            }
        }

        return State != TcpState.Closed;
    }

    private void Acknowledge(uint acknowledged, long now)
    {
        bool isFinAcknowledged = _isFinSent && acknowledged == _finSequence + 1;
        Sending.Remove((int)(acknowledged - _sendUnacknowledged) - (isFinAcknowledged ? 1 : 0));
        Sending.Trim();
        _sendUnacknowledged = acknowledged;
        _sendNext = Sequence.Max(_sendNext, acknowledged);
        _duplicates = 0;
        if (_measured is { } measured && Sequence.IsAfter(acknowledged, measured.Sequence))
        {
            _timer.AddSample(now - measured.Start);
            _measured = null;
        }

        _timer.Reset();
        if (!Sequence.IsBefore(acknowledged, _recoveryEnd))
        {
            _isRecovering = false;
        }

        if (_probeAt == Never)
        {
            _retransmitAt = _sendUnacknowledged == _sendMax ? Never : now + _timer.Timeout;
        }

        if (isFinAcknowledged)
        {
            FinishSending(now);
        }
        else
        {
            _user.OnSendRoom();
        }
    }

    private void FinishSending(long now)
    {
        switch (State)
        {
            case TcpState.FinWait1:
                State = TcpState.FinWait2;
                break;
            case TcpState.Closing:
                EnterTimeWait(now);
                break;
            case TcpState.LastAck:
                // What was received may still be on its way to the user.
                if (Received.Count == 0)
                {
                    Close();
                    _user.OnClosed();
                }
                else
                {
                    EnterTimeWait(now);
                }

                break;
        }
    }

    private void ReceiveData(int offset, ReadOnlySpan<byte> payload, bool isFin, long now)
    {
        _isAckDue = true;
        if (isFin)
        {
            _peerFin ??= _receiveNext + (uint)(offset + payload.Length);
        }

        if (offset > 0)
        {
            uint start = _receiveNext + (uint)offset;
            if (!payload.IsEmpty && _ahead.TryAdd(start, start + (uint)payload.Length))
            {
                Received.WriteAhead(offset, payload);
            }
        }
        else if (!payload.IsEmpty)
        {
            TakeInOrder(payload);
        }

        if (_peerFin == _receiveNext)
        {
            _receiveNext++;
            _receiveEdge = Sequence.Max(_receiveEdge, _receiveNext);
            switch (State)
            {
                case TcpState.Established:
                    State = TcpState.CloseWait;
                    break;
                case TcpState.FinWait1:
                    State = TcpState.Closing;
                    break;
                case TcpState.FinWait2:
                    EnterTimeWait(now);
                    break;
            }

            _user.OnPeerFinished();
        }
    }

    private void TakeInOrder(ReadOnlySpan<byte> payload)
    {
        _receiveNext += (uint)payload.Length;
        bool isIdle = Received.Count == 0;
        if (_ahead.IsEmpty)
        {
            if (isIdle)
            {
                payload = payload[_user.OnData(payload)..];
            }

            if (!payload.IsEmpty)
            {
                Received.Append(payload);
            }

            return;
        }

        Received.Append(payload);
        uint end = _ahead.Advance(_receiveNext);
        Received.Commit((int)(end - _receiveNext));
        _receiveNext = end;
        while (isIdle && Received.Count > 0)
        {
            ReadOnlyMemory<byte> part = Received.Peek(0, Received.Count);
            int used = _user.OnData(part.Span);
            Received.Remove(used);
            isIdle = used == part.Length;
        }
    }

    private void Establish()
    {
        State = TcpState.Established;
        _retransmitAt = Never;
        _timer.Reset();
        _user.OnEstablished();
    }

    private void EnterTimeWait(long now)
    {
        State = TcpState.TimeWait;
        _retransmitAt = Never;
        _probeAt = Never;
        _closeAt = now + TimeWait;
    }
}
