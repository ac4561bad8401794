using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>The name servers that queries go to: given ones, or the host's at the time. One that does not answer loses its turn.</summary>
internal sealed class HostResolvers
{
    public const ushort Port = 53;

    private const string UnixFile = "/etc/resolv.conf";
    private const int RefreshMilliseconds = 5000;

    private readonly IReadOnlyList<IPEndPoint> _given;
    private IReadOnlyList<IPEndPoint> _current = [];
    private long _readAt = long.MinValue;
    private int _turn;

    /// <param name="given">Name servers; none: the host's.</param>
    public HostResolvers(IReadOnlyList<IPEndPoint> given)
    {
        _given = given;
    }

    /// <summary>The one whose turn it is, or null if there is none.</summary>
    public IPEndPoint? Current(long now)
    {
        IReadOnlyList<IPEndPoint> list = List(now);
        return list.Count == 0 ? null : list[_turn % list.Count];
    }

    /// <summary>One has not answered.</summary>
    public void Skip(IPEndPoint resolver, long now)
    {
        if (resolver.Equals(Current(now)))
        {
            _turn++;
        }
    }

    /// <summary>Reads the addresses in the text of a <c>resolv.conf</c>.</summary>
    public static IReadOnlyList<IPEndPoint> Parse(string text)
    {
        List<IPEndPoint> found = [];
        foreach (string line in text.Split('\n'))
        {
            string[] words = line.Split([' ', '\t', '\r'], StringSplitOptions.RemoveEmptyEntries);
            if (words.Length >= 2 && words[0] == "nameserver" && IPAddress.TryParse(words[1], out IPAddress? address))
            {
                found.Add(new IPEndPoint(address, Port));
            }
        }

        return found;
    }

    private IReadOnlyList<IPEndPoint> List(long now)
    {
        if (_given.Count > 0)
        {
            return _given;
        }

        if (now >= _readAt)
        {
            _readAt = now + RefreshMilliseconds;
            _current = Read();
        }

        return _current;
    }

    private static IReadOnlyList<IPEndPoint> Read()
    {
        try
        {
            if (!OperatingSystem.IsWindows())
            {
                return Parse(File.ReadAllText(UnixFile));
            }

            return
            [
                .. NetworkInterface.GetAllNetworkInterfaces()
                    .Where(card => card.OperationalStatus == OperationalStatus.Up)
                    .SelectMany(card => card.GetIPProperties().DnsAddresses)
                    .Where(address => address.AddressFamily == AddressFamily.InterNetwork || !address.IsIPv6SiteLocal)
                    .Distinct()
                    .Select(address => new IPEndPoint(address, Port)),
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NetworkInformationException)
        {
            return [];
        }
    }
}
