namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>How long to wait for an acknowledgement (RFC 6298), in milliseconds.</summary>
internal sealed class RetransmissionTimer
{
    /// <summary>Waits before a peer counts as gone: about two minutes.</summary>
    public const int MaxRetries = 9;

    private const int Initial = 1000;
    private const int Minimum = 200;
    private const int Maximum = 60_000;

    private double _smoothed = -1;
    private double _variation;

    /// <summary>Wait now.</summary>
    public int Timeout { get; private set; } = Initial;

    /// <summary>Waits in vain since something was heard.</summary>
    public int Retries { get; private set; }

    /// <summary>Takes a measured round trip.</summary>
    public void AddSample(long milliseconds)
    {
        if (_smoothed < 0)
        {
            _smoothed = milliseconds;
            _variation = milliseconds / 2.0;
        }
        else
        {
            _variation = (0.75 * _variation) + (0.25 * Math.Abs(_smoothed - milliseconds));
            _smoothed = (0.875 * _smoothed) + (0.125 * milliseconds);
        }
    }

    /// <summary>The peer is there, but nothing has moved on.</summary>
    public void Hear() => Retries = 0;

    /// <summary>Something has moved on.</summary>
    public void Reset()
    {
        Retries = 0;
        Timeout = _smoothed < 0 ? Initial : (int)Math.Clamp(_smoothed + (4 * _variation), Minimum, Maximum);
    }

    /// <summary>A wait was in vain.</summary>
    /// <returns>Whether to try again.</returns>
    public bool TryBackOff()
    {
        Retries++;
        Timeout = Math.Min(Timeout * 2, Maximum);
        return Retries <= MaxRetries;
    }
}
