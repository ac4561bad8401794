using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>Programs on the host's loopback addresses that a guest talks to.</summary>
internal sealed class HostServices : IDisposable
{
    private readonly List<IDisposable> _sockets = [];
    private readonly ConcurrentDictionary<string, byte[]> _files = new();

    /// <summary>Port of the web server, on 127.0.0.1 and on ::1.</summary>
    public int WebPort { get; private set; }

    public HostServices()
    {
        WebPort = Listen(IPAddress.Loopback, ServeFile);
        Listen(IPAddress.IPv6Loopback, ServeFile, WebPort);
    }

    public void AddFile(string name, byte[] content) => _files[name] = content;

    /// <summary>The SHA-256 of a file as sha256sum prints it.</summary>
    public string HashOf(string name) => Convert.ToHexStringLower(SHA256.HashData(_files[name]));

    /// <summary>Serves connections, each on a thread of its own.</summary>
    /// <returns>The port.</returns>
    public int Listen(IPAddress address, Action<Socket> serve, int port = 0)
    {
        Socket listener = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(address, port));
        listener.Listen(512);
        _sockets.Add(listener);
        Start(() =>
        {
            while (true)
            {
                Socket socket = listener.Accept();
                Start(() =>
                {
                    using (socket)
                    {
                        serve(socket);
                    }
                });
            }
        });
        return ((IPEndPoint)listener.LocalEndPoint!).Port;
    }

    /// <summary>A name server that knows one address for every name.</summary>
    /// <returns>Where it is.</returns>
    public IPEndPoint ServeNames(IPAddress answer)
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _sockets.Add(socket);
        Start(() =>
        {
            byte[] buffer = new byte[1500];
            while (true)
            {
                EndPoint from = new IPEndPoint(IPAddress.Any, 0);
                int length = socket.ReceiveFrom(buffer, ref from);
                socket.SendTo(Answer(buffer[..length], answer), from);
            }
        });
        return (IPEndPoint)socket.LocalEndPoint!;
    }

    /// <summary>Reads all there is; the hash of it.</summary>
    public static string ReadHash(Socket socket)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 18];
        int length;
        while ((length = socket.Receive(buffer)) > 0)
        {
            hash.AppendData(buffer, 0, length);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    public void Dispose() => _sockets.ForEach(socket => socket.Dispose());

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
                // The test or the guest has ended.
            }
        })
        { IsBackground = true };
        thread.Start();
    }

    private void ServeFile(Socket socket)
    {
        StringBuilder request = new();
        byte[] buffer = new byte[4096];
        int length;
        while (!request.ToString().Contains("\r\n\r\n", StringComparison.Ordinal) && (length = socket.Receive(buffer)) > 0)
        {
            request.Append(Encoding.ASCII.GetString(buffer, 0, length));
        }

        string name = request.ToString().Split(' ')[1].TrimStart('/');
        bool isKnown = _files.TryGetValue(name, out byte[]? content);
        content ??= [];
        string status = isKnown ? "200 OK" : "404 Not Found";
        socket.Send(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"HTTP/1.0 {status}\r\nContent-Length: {content.Length}\r\n\r\n")));
        socket.Send(content);
        socket.Shutdown(SocketShutdown.Send);
        socket.Receive(buffer);
    }

    private static byte[] Answer(byte[] query, IPAddress address)
    {
        // The question follows the header of 12 bytes: labels, a zero, type and class.
        int end = Array.IndexOf(query, (byte)0, 12) + 5;
        bool isForV4 = query[end - 3] == 1;
        byte[] header = [query[0], query[1], 0x81, 0x80, 0, 1, 0, (byte)(isForV4 ? 1 : 0), 0, 0, 0, 0];
        byte[] record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, .. address.GetAddressBytes()];
        return [.. header, .. query[12..end], .. isForV4 ? record : []];
    }
}
