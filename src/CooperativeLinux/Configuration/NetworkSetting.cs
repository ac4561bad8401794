using System.Net;
using CooperativeLinux.Devices.Network;
using CooperativeLinux.Devices.Network.User;

namespace CooperativeLinux.Configuration;

/// <summary>What a guest's network card is plugged into.</summary>
public enum NetworkKind
{
    /// <summary>A network made inside this process, which needs no rights.</summary>
    User,

    /// <summary>A TAP interface of the host (Linux).</summary>
    Tap,

    /// <summary>There is no card.</summary>
    None,
}

/// <summary>The network of a machine, as <c>--net</c>, <c>--forward</c> and <c>--net-restrict</c> say it.</summary>
public sealed record NetworkSetting
{
    /// <summary>What the card is plugged into.</summary>
    public NetworkKind Kind { get; init; }

    /// <summary>Name of the TAP interface.</summary>
    public string? TapName { get; init; }

    /// <summary>The card's address, or null for a usual one.</summary>
    public MacAddress? Address { get; init; }

    /// <summary>Name servers for the user network instead of the host's.</summary>
    public IReadOnlyList<IPEndPoint> Resolvers { get; init; } = [];

    /// <summary>Ports of the host that lead into the guest.</summary>
    public IReadOnlyList<PortForward> Forwards { get; init; } = [];

    /// <summary>Whether nothing but the forwards is allowed.</summary>
    public bool IsRestricted { get; init; }

    /// <summary>Reads the value of <c>--net</c>: <c>user</c>, <c>tap:NAME</c> or <c>none</c>, then <c>mac=</c> and <c>dns=</c> after commas.</summary>
    /// <param name="text">The text.</param>
    /// <param name="setting">What it says; without forwards.</param>
    /// <param name="error">Why it says nothing usable, as the end of a sentence.</param>
    /// <returns>Whether it is usable.</returns>
    public static bool TryParse(string text, out NetworkSetting setting, out string error)
    {
        string[] parts = text.Split(',');
        setting = new NetworkSetting();
        error = "";
        switch (parts[0])
        {
            case "user":
                break;
            case "none":
                setting = setting with { Kind = NetworkKind.None };
                break;
            case string tap when tap.StartsWith("tap:", StringComparison.Ordinal):
                setting = setting with { Kind = NetworkKind.Tap, TapName = tap[4..] };
                error = IsInterfaceName(tap[4..]) ? "" : $"'{tap[4..]}' is no name of an interface; such a name has 1 to 15 characters, as in tap:tap0";
                break;
            default:
                error = $"'{parts[0]}' is none of user, tap:NAME and none";
                break;
        }

        for (int i = 1; i < parts.Length && error.Length == 0; i++)
        {
            error = AddPart(parts[i], ref setting);
        }

        return error.Length == 0;
    }

    private static string AddPart(string part, ref NetworkSetting setting)
    {
        string value = part[(part.IndexOf('=', StringComparison.Ordinal) + 1)..];
        if (part.StartsWith("mac=", StringComparison.Ordinal) && setting.Kind != NetworkKind.None)
        {
            if (!MacAddress.TryParse(value, out MacAddress address))
            {
                return $"'{value}' is no Ethernet address, such as 00:16:3e:12:34:56";
            }

            if (setting.Address is not null)
            {
                return "mac= is given twice; the guest has one card";
            }

            setting = setting with { Address = address };
            return address.IsGroup || address == default ? $"{address} is not the address of one card; its first byte must be even" : "";
        }

        if (part.StartsWith("dns=", StringComparison.Ordinal) && setting.Kind == NetworkKind.User)
        {
            if (!TryParseResolver(value, out IPEndPoint? resolver))
            {
                return $"'{value}' is no address of a name server, such as 9.9.9.9 or 127.0.0.1:5353";
            }

            setting = setting with { Resolvers = [.. setting.Resolvers, resolver!] };
            return "";
        }

        return $"'{part}' is not known here; user takes mac= and dns=, tap takes mac=";
    }

    private static bool TryParseResolver(string text, out IPEndPoint? resolver)
    {
        if (!IPEndPoint.TryParse(text, out resolver))
        {
            return false;
        }

        const int DomainPort = 53;
        if (resolver.Port == 0)
        {
            resolver.Port = DomainPort;
        }

        return true;
    }

    private static bool IsInterfaceName(string name) =>
        name.Length is > 0 and < 16 && name.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '-' or '_' or '@');
}
