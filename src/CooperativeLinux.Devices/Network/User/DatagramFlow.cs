using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>Messages between the guest and one partner, through a socket of their own. Called with the network's lock held, but for the
/// starts of the socket's callbacks.</summary>
internal abstract class DatagramFlow
{
    // What comes while the guest is busy; the host may give less.
    private const int SocketBuffer = 1 << 20;

    private readonly SocketAsyncEventArgs _readEvent = new();
    private readonly byte[] _peeked = new byte[1];
    private readonly Action<DatagramFlow> _onClosed;

    /// <param name="core">The network.</param>
    /// <param name="key">Both ends.</param>
    /// <param name="socket">Connected to the partner.</param>
    /// <param name="lifetime">Milliseconds after the last message.</param>
    /// <param name="onClosed">Told when it ends.</param>
    protected DatagramFlow(NetworkCore core, FlowKey key, Socket socket, int lifetime, Action<DatagramFlow> onClosed)
    {
        Core = core;
        Key = key;
        Socket = socket;
        Lifetime = lifetime;
        _onClosed = onClosed;
        LastUse = NetworkCore.Now;
        socket.Blocking = false;
        socket.ReceiveBufferSize = SocketBuffer;
        _readEvent.SetBuffer(_peeked);
        _readEvent.Completed += (_, _) => OnReadable();
    }

    public FlowKey Key { get; }

    public bool IsClosed { get; private set; }

    /// <summary>Messages sent since one came back.</summary>
    public int Unanswered { get; private set; }

    /// <summary>When the last message went through, in milliseconds.</summary>
    public long LastUse { get; private set; }

    /// <summary>When it ends, if nothing more goes through.</summary>
    public long Deadline => LastUse + Lifetime;

    protected NetworkCore Core { get; }

    protected Socket Socket { get; }

    protected int Lifetime { get; set; }

    /// <summary>Begins to listen to the partner.</summary>
    public void Start() => WaitForHost();

    /// <summary>Sends a message to the partner.</summary>
    public void Send(ReadOnlySpan<byte> message)
    {
        LastUse = NetworkCore.Now;
        Unanswered++;
        Socket.Send(message, SocketFlags.None, out SocketError error);
        if (error is not (SocketError.Success or SocketError.WouldBlock))
        {
            // It is about an earlier message.
            OnError(error);
            if (!IsClosed)
            {
                Socket.Send(message, SocketFlags.None, out _);
            }
        }
    }

    public void Close()
    {
        if (!IsClosed)
        {
            IsClosed = true;
            Socket.Dispose();
            _readEvent.Dispose();
            _onClosed(this);
        }
    }

    /// <summary>The guest has room again.</summary>
    public void OnRoom()
    {
        if (!IsClosed)
        {
            WaitForHost();
        }
    }

    /// <summary>Passes a message on to the guest.</summary>
    /// <returns>False if the others had better stay where they are, since the guest has no room.</returns>
    protected abstract bool Deliver(Span<byte> message);

    /// <summary>The partner cannot be reached.</summary>
    protected abstract void OnError(SocketError error);

    private void OnReadable() => Core.Enter(() =>
    {
        // The news that an earlier message did not arrive may come with the look; MessageSize says that there is more than was looked at.
        if (!IsClosed && _readEvent.SocketError is not (SocketError.Success or SocketError.MessageSize))
        {
            OnError(_readEvent.SocketError);
        }

        bool hasRoom = IsClosed || ReadAll();
        if (IsClosed)
        {
            return;
        }

        if (hasRoom)
        {
            WaitForHost();
        }
        else
        {
            Core.WaitForRoom(this);
        }
    });

    /// <summary>Returns whether the guest has room for more.</summary>
    private bool ReadAll()
    {
        // Enough for a turn; the next one begins at once.
        const int MaxMessages = 64;
        byte[] buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(ushort.MaxValue);
        try
        {
            for (int i = 0; i < MaxMessages && !IsClosed; i++)
            {
                int count = Socket.Receive(buffer, SocketFlags.None, out SocketError error);
                switch (error)
                {
                    case SocketError.Success:
                        LastUse = NetworkCore.Now;
                        Unanswered = 0;
                        if (!Deliver(buffer.AsSpan(0, count)))
                        {
                            return false;
                        }

                        break;
                    case SocketError.WouldBlock:
                        return true;
                    default:
                        OnError(error);
                        break;
                }
            }
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }

        return true;
    }

    private void WaitForHost()
    {
        // A look without taking needs no buffer as large as a message. The flags do not stay: the last ones received are in their place.
        _readEvent.SocketFlags = SocketFlags.Peek;
        if (!Socket.ReceiveAsync(_readEvent))
        {
            ThreadPool.UnsafeQueueUserWorkItem(static flow => flow.OnReadable(), this, preferLocal: true);
        }
    }
}
