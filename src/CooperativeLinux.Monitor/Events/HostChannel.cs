namespace CooperativeLinux.Monitor.Events;

/// <summary>The host's end of an interdomain event channel. Disposing it leaves the guest's port unbound.</summary>
public sealed class HostChannel : IDisposable
{
    private readonly EventChannels _channels;
    private readonly Action _onNotify;
    private volatile bool _isOpen = true;

    internal HostChannel(EventChannels channels, uint port, Action onNotify)
    {
        _channels = channels;
        _onNotify = onNotify;
        Port = port;
    }

    /// <summary>The guest's port.</summary>
    public uint Port { get; }

    /// <summary>False once either side has closed the channel.</summary>
    public bool IsOpen => _isOpen;

    /// <summary>Raises the event in the guest; does nothing once the channel is closed, even if the guest has since used the
    /// port number for something else. Any thread.</summary>
    public void Notify() => _channels.RaiseFrom(this);

    /// <inheritdoc/>
    public void Dispose() => _channels.Disconnect(this);

    internal void Signal()
    {
        if (_isOpen)
        {
            _onNotify();
        }
    }

    internal void MarkClosed() => _isOpen = false;
}
