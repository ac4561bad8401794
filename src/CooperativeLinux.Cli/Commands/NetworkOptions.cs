using System.CommandLine;
using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Network.User;

namespace CooperativeLinux.Cli.Commands;

/// <summary>The options of a guest's network.</summary>
internal sealed class NetworkOptions
{
    private readonly Option<NetworkSetting?> _net = new("--net")
    {
        HelpName = "user|tap:NAME|none",
        Description = "What the guest's network card is plugged into: user (the host and what it reaches, without rights), a TAP interface, or nothing; mac= and dns= may follow, as in user,mac=00:16:3e:12:34:56,dns=9.9.9.9 [default: user]",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (!NetworkSetting.TryParse(text, out NetworkSetting setting, out string reason))
            {
                result.AddError($"--net {text}: {reason}.");
            }

            return setting;
        },
    };

    private readonly Option<PortForward[]> _forward = new("--forward")
    {
        HelpName = "tcp|udp:[ADDRESS:]PORT:PORT",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = false,
        Description = "Lead a port of this machine to one of the guest, such as tcp:2222:22; may be given several times. Without an address only programs on this machine can use it (127.0.0.1)",
        CustomParser = result =>
        {
            List<PortForward> forwards = [];
            foreach (string text in result.Tokens.Select(token => token.Value))
            {
                if (PortForwardText.TryParse(text, out PortForward forward, out string reason))
                {
                    forwards.Add(forward);
                }
                else
                {
                    result.AddError($"--forward {text}: {reason}.");
                    break;
                }
            }

            return [.. forwards];
        },
    };

    private readonly Option<bool> _restrict = new("--net-restrict")
    {
        Description = "Let the guest reach nothing through its network, neither this machine nor others; only forwards work",
    };

    public void AddTo(Command command)
    {
        command.Add(_net);
        command.Add(_forward);
        command.Add(_restrict);
    }

    /// <summary>Puts together what was given.</summary>
    /// <exception cref="UserException">The options do not go together.</exception>
    public NetworkSetting Read(ParseResult parsed)
    {
        NetworkSetting setting = parsed.GetValue(_net) ?? new NetworkSetting();
        PortForward[] forwards = parsed.GetValue(_forward) ?? [];
        bool isRestricted = parsed.GetValue(_restrict);
        if (setting.Kind != NetworkKind.User && (forwards.Length > 0 || isRestricted))
        {
            throw new UserException(ExitCode.Usage, $"{(forwards.Length > 0 ? "--forward" : "--net-restrict")} only works with --net user");
        }

        return setting with { Forwards = forwards, IsRestricted = isRestricted };
    }
}
