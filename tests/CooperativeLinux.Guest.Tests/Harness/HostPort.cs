using System.Net;
using System.Net.Sockets;
using System.Text;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>Ports of the host that lead into a guest.</summary>
internal static class HostPort
{
    /// <summary>A port of 127.0.0.1 that nobody has.</summary>
    public static int Free(ProtocolType protocol = ProtocolType.Tcp)
    {
        using Socket socket = New(protocol);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>Says something to an echo, as soon as somebody listens there.</summary>
    /// <param name="target">Where the echo is.</param>
    /// <param name="text">What to say, in ASCII.</param>
    /// <param name="protocol">TCP or UDP.</param>
    /// <returns>What came back.</returns>
    public static string Say(IPEndPoint target, string text, ProtocolType protocol = ProtocolType.Tcp)
    {
        for (int tries = 0; ; tries++)
        {
            try
            {
                using Socket socket = New(protocol);
                socket.ReceiveTimeout = protocol == ProtocolType.Udp ? 1000 : 0;
                socket.Connect(target);
                socket.Send(Encoding.ASCII.GetBytes(text));
                byte[] buffer = new byte[100];
                int length = 0;
                while (length < text.Length)
                {
                    int count = socket.Receive(buffer, length, buffer.Length - length, SocketFlags.None);
                    if (count == 0)
                    {
                        throw new SocketException((int)SocketError.ConnectionReset);
                    }

                    length += count;
                }

                return Encoding.ASCII.GetString(buffer, 0, length);
            }
            catch (SocketException) when (tries < 100)
            {
                Thread.Sleep(100);
            }
        }
    }

    private static Socket New(ProtocolType protocol) =>
        new(AddressFamily.InterNetwork, protocol == ProtocolType.Udp ? SocketType.Dgram : SocketType.Stream, protocol);
}
