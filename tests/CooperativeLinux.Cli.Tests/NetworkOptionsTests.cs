using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.Network.User;

namespace CooperativeLinux.Cli.Tests;

public sealed class NetworkOptionsTests
{
    [Fact]
    public async Task RunAsync_Network_ReachesTheMachine()
    {
        NetworkSetting setting = await ReadAsync(
            "--net", "user,mac=00:16:3e:01:02:03,dns=9.9.9.9,dns=[::1]:5353", "--net-restrict",
            "--forward", "tcp:2222:22", "--forward", "udp:0.0.0.0:5353:53", "--forward", "tcp:[::1]:8080:80");

        Assert.Equal(NetworkKind.User, setting.Kind);
        Assert.Equal("00:16:3e:01:02:03", setting.Address.ToString());
        Assert.Equal(["9.9.9.9:53", "[::1]:5353"], setting.Resolvers.Select(resolver => resolver.ToString()));
        Assert.True(setting.IsRestricted);
        Assert.Equal(
            ["tcp:127.0.0.1:2222:22", "udp:0.0.0.0:5353:53", "tcp:[::1]:8080:80"], setting.Forwards.Select(forward => forward.ToString()));
    }

    [Fact]
    public async Task RunAsync_NothingSaid_IsAUserNetwork()
    {
        NetworkSetting setting = await ReadAsync();

        Assert.Equal(NetworkKind.User, setting.Kind);
        Assert.Empty(setting.Forwards);
        Assert.False(setting.IsRestricted);
    }

    [Fact]
    public async Task RunAsync_TapAndNone_ReachTheMachine()
    {
        NetworkSetting tap = await ReadAsync("--net", "tap:br-0.1,mac=00:16:3e:01:02:03");

        Assert.Equal((NetworkKind.Tap, "br-0.1"), (tap.Kind, tap.TapName));
        Assert.Equal(NetworkKind.None, (await ReadAsync("--net", "none")).Kind);
    }

    [Theory]
    [InlineData("'bridge' is none of user, tap:NAME and none", "--net", "bridge")]
    [InlineData("'' is no name of an interface", "--net", "tap:")]
    [InlineData("is no name of an interface", "--net", "tap:name-that-is-too-long")]
    [InlineData("'1' is no Ethernet address", "--net", "user,mac=1")]
    [InlineData("its first byte must be even", "--net", "user,mac=01:00:5e:00:00:01")]
    [InlineData("'mac=00:16:3e:01:02:03' is not known here", "--net", "none,mac=00:16:3e:01:02:03")]
    [InlineData("'dns=1.1.1.1' is not known here", "--net", "tap:tap0,dns=1.1.1.1")]
    [InlineData("'name' is no address of a name server", "--net", "user,dns=name")]
    [InlineData("'mtu=9000' is not known here", "--net", "user,mtu=9000")]
    [InlineData("such as tcp:127.0.0.1:2222:22", "--forward", "2222:22")]
    [InlineData("such as tcp:127.0.0.1:2222:22", "--forward", "tcp:22")]
    [InlineData("such as tcp:127.0.0.1:2222:22", "--forward", "sctp:1:2")]
    [InlineData("'0' is no port; this machine's port", "--forward", "tcp:0:22")]
    [InlineData("'65536' is no port; the guest's port", "--forward", "tcp:22:65536")]
    [InlineData("'localhost' is no address", "--forward", "tcp:localhost:2222:22")]
    [InlineData("--forward only works with --net user", "--net", "none", "--forward", "tcp:2222:22")]
    [InlineData("--net-restrict only works with --net user", "--net", "tap:tap0", "--net-restrict")]
    public async Task RunAsync_BadNetwork_IsOneClearLine(string part, params string[] arguments)
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new();

        ExitCode code = await run.RunAsync(["run", "-k", kernel.Path, .. arguments]);

        Assert.Equal(ExitCode.Usage, code);
        Assert.Null(run.Options);
        Assert.StartsWith("colinux: ", run.ErrorLines[0], StringComparison.Ordinal);
        Assert.Contains(part, run.ErrorLines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void PortForward_RandomText_IsRefusedWithAReason()
    {
        Random random = new(1);
        const string Characters = "tcpud:0129.[]-x ";
        for (int i = 0; i < 5000; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(20)).Select(_ => Characters[random.Next(Characters.Length)]));

            bool isRead = PortForwardText.TryParse(text, out PortForward forward, out string error);

            Assert.NotEqual(isRead, error.Length > 0);
            Assert.True(!isRead || (forward.GuestPort > 0 && forward.Host.Port > 0));
        }
    }

    private static async Task<NetworkSetting> ReadAsync(params string[] arguments)
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new();
        ExitCode code = await run.RunAsync(["run", "-k", kernel.Path, .. arguments]);
        Assert.Equal("", run.Error.ToString());
        Assert.Equal(ExitCode.Success, code);
        return run.Options!.Network;
    }
}
