using System.Globalization;
using System.Net;
using CooperativeLinux.Devices.Network.User;

namespace CooperativeLinux.Configuration;

/// <summary>Reads <c>--forward</c>: <c>tcp:2222:22</c>, <c>udp:0.0.0.0:5353:53</c>, <c>tcp:[::1]:8080:80</c>.</summary>
public static class PortForwardText
{
    /// <summary>Reads a forward; without an address it is for this machine's own programs only.</summary>
    /// <param name="text">The text.</param>
    /// <param name="forward">What it says.</param>
    /// <param name="error">Why it says nothing usable, as the end of a sentence.</param>
    /// <returns>Whether it is usable.</returns>
    public static bool TryParse(string text, out PortForward forward, out string error)
    {
        forward = new PortForward(true, new IPEndPoint(IPAddress.Loopback, 0), 0);
        error = "a forward is tcp or udp, an address of this machine if it is not 127.0.0.1, its port and the guest's port, such as tcp:127.0.0.1:2222:22";
        int first = text.IndexOf(':', StringComparison.Ordinal);
        int last = text.LastIndexOf(':');
        string protocol = first < 0 ? "" : text[..first];
        if (protocol is not ("tcp" or "udp") || last <= first)
        {
            return false;
        }

        if (!TryParsePort(text[(last + 1)..], out ushort guestPort))
        {
            error = $"'{text[(last + 1)..]}' is no port; the guest's port is a number from 1 to 65535";
            return false;
        }

        string host = text[(first + 1)..last];
        int portAt = host.LastIndexOf(':');
        string portText = host[(portAt + 1)..];
        if (!TryParsePort(portText, out ushort hostPort))
        {
            error = $"'{portText}' is no port; this machine's port is a number from 1 to 65535";
            return false;
        }

        IPAddress? address = IPAddress.Loopback;
        if (portAt >= 0 && !IPAddress.TryParse(host[..portAt], out address))
        {
            error = $"'{host[..portAt]}' is no address; it is one of this machine's, such as 127.0.0.1, 0.0.0.0 for all, or [::1]";
            return false;
        }

        forward = new PortForward(protocol == "tcp", new IPEndPoint(address!, hostPort), guestPort);
        error = "";
        return true;
    }

    private static bool TryParsePort(string text, out ushort port) =>
        ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port) && port != 0;
}
