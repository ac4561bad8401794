using System.Net;
using System.Net.Sockets;

namespace CooperativeLinux.Bench.Network;

/// <summary>The host's side of the network benchmark: takes data, gives data, or sends back what comes.</summary>
internal sealed class TransferServer : IDisposable
{
    private const int BufferSize = 1 << 18;

    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    private TransferServer(Action<Socket, byte[]> serve)
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        Start(() =>
        {
            while (true)
            {
                Socket socket = _listener.Accept();
                Start(() =>
                {
                    using (socket)
                    {
                        socket.NoDelay = true;
                        serve(socket, new byte[BufferSize]);
                    }
                });
            }
        });
    }

    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>Reads all, then closes.</summary>
    public static TransferServer Sink() => new((socket, buffer) =>
    {
        while (socket.Receive(buffer) > 0)
        {
        }
    });

    /// <summary>Writes until the other side closes.</summary>
    public static TransferServer Source() => new((socket, buffer) =>
    {
        while (true)
        {
            socket.Send(buffer);
        }
    });

    public static TransferServer Echo() => new((socket, buffer) =>
    {
        int length;
        while ((length = socket.Receive(buffer)) > 0)
        {
            socket.Send(buffer, length, SocketFlags.None);
        }
    });

    public void Dispose() => _listener.Dispose();

    private static void Start(Action work)
    {
        Thread thread = new(() =>
        {
            try
            {
                work();
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException)
            {
                // The other side has seen enough.
            }
        })
        { IsBackground = true };
        thread.Start();
    }
}
