using System.Net.Sockets;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>Makes sockets that clients on the host come to.</summary>
internal static class ForwardSocket
{
    /// <exception cref="NetworkException">The port cannot be had.</exception>
    public static Socket Bind(PortForward setting, SocketType type, ProtocolType protocol)
    {
        Socket? socket = null;
        try
        {
            socket = new Socket(setting.Host.AddressFamily, type, protocol);
            if (OperatingSystem.IsWindows())
            {
                // Otherwise another program could take the port over.
                socket.ExclusiveAddressUse = true;
            }

            socket.Bind(setting.Host);
            return socket;
        }
        catch (SocketException error)
        {
            socket?.Dispose();
            string reason = error.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => "another program uses the port",
                // "bind function (winsock2.h)", WSAEACCES.
                SocketError.AccessDenied when OperatingSystem.IsWindows() => "another program has the port for itself, or Windows keeps it ('netsh interface ipv4 show excludedportrange tcp' lists those)",
                SocketError.AccessDenied => "ports below 1024 need rights that this user does not have",
                SocketError.AddressNotAvailable => "this machine does not have the address",
                _ => error.Message,
            };
            throw new NetworkException($"cannot listen at {setting.Host} for --forward {setting}: {reason}", error);
        }
    }
}
