using System.Net;
using System.Net.Sockets;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;

namespace CooperativeLinux.Guest.Tests;

/// <summary>What <c>--net</c>, <c>--forward</c> and <c>--net-restrict</c> mean for a guest.</summary>
public sealed class NetworkOptionTests : IDisposable
{
    private const string Address = "00:16:3e:12:34:56";

    private readonly HostServices _host = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;

    public void Dispose()
    {
        _host.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Net_Restricted_OnlyForwardsWork()
    {
        int visitors = 0;
        int service = _host.Listen(IPAddress.Loopback, _ => Interlocked.Increment(ref visitors));
        IPEndPoint names = _host.ServeNames(IPAddress.Parse("10.0.2.2"));
        using Socket datagrams = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        datagrams.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        IPEndPoint tcp = new(IPAddress.Loopback, HostPort.Free());
        IPEndPoint udp = new(IPAddress.Loopback, HostPort.Free(ProtocolType.Udp));
        string disk = ScriptDisk.Make(
            _folder,
            $"""
            cat /sys/class/net/eth0/address
            {GuestProgram.Write(GuestProgram.CreateDatagramEcho(53), "/tmp/echo")}; /tmp/echo &
            for host in 10.0.2.2 10.0.2.3 1.1.1.1 fd00::2; do ping -c 1 -W 1 $host > /dev/null 2>&1 && echo "$host answers"; done
            for host in 10.0.2.2 10.0.2.3 1.1.1.1 fd00::2; do echo x | nc -w 2 $host {service} > /dev/null 2>&1 && echo "$host is connected"; done
            for server in "" 10.0.2.3 fd00::3; do nslookup -type=a any.name.test $server 2> /dev/null | grep -A 1 any.name.test | grep Address; done
            timeout 3 tftp -g -r x -l /tmp/x 10.0.2.2 {((IPEndPoint)datagrams.LocalEndPoint!).Port} 2> /dev/null
            echo ready
            nc -l -p 22 -e /bin/cat
            """);
        using Colinux colinux = Colinux.Start(
            "run", "-k", "6.1-cloud", "-m", "256M", "-d", disk, "-a", ScriptDisk.Command, "--net", $"user,mac={Address},dns={names}", "--net-restrict",
            "--forward", $"udp:{udp}:53", "--forward", $"tcp:{tcp}:22");

        colinux.WaitFor("ready\n");
        Assert.Equal("a datagram", HostPort.Say(udp, "a datagram", ProtocolType.Udp));
        Assert.Equal("a stream", HostPort.Say(tcp, "a stream"));

        Assert.Equal(0, colinux.WaitForExit());
        Assert.Equal($"{Address}\nready\n", Assert.NotNull(GuestScript.Parse(colinux.Output)).Output);
        Assert.Equal((0, 0), (visitors, datagrams.Available));
        Assert.Empty(colinux.Errors);
    }

    [Fact]
    public void Net_Tap_IsTheHostsNetworkUntilItIsTakenAway()
    {
        Assert.SkipUnless(File.Exists("/dev/net/tun") && Environment.IsPrivilegedProcess && File.Exists("/usr/sbin/ip"), "makes a TAP interface, as root");
        string name = $"colx{Environment.ProcessId}";
        HostTool.Do("ip", "tuntap", "add", "dev", name, "mode", "tap");
        try
        {
            HostTool.Do("ip", "addr", "add", "10.213.77.1/30", "dev", name);
            HostTool.Do("ip", "link", "set", name, "up");
            int service = _host.Listen(IPAddress.Parse("10.213.77.1"), socket => socket.Send("from the host\n"u8));
            using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M", "--net", $"tap:{name},mac={Address}", "-a", "colinux.net=none");
            colinux.WaitFor(Colinux.Prompt);
            colinux.Type($"cat /sys/class/net/eth0/address; ip addr add 10.213.77.2/30 dev eth0; ip link set eth0 up; nc 10.213.77.1 {service} < /dev/null; nc -l -p 22 -e /bin/cat; echo at $((40 + 1))\n");
            (int position, _) = colinux.WaitFor(Address);
            (position, _) = colinux.WaitFor("from the host", position);
            Assert.Equal("to the guest", HostPort.Say(new IPEndPoint(IPAddress.Parse("10.213.77.2"), 22), "to the guest"));
            (position, _) = colinux.WaitFor("at 41", position);

            HostTool.Do("ip", "link", "delete", name);
            colinux.Type("ping -c 1 -W 1 10.213.77.1; echo still $((40 + 2)); exit\n");
            colinux.WaitFor("still 42", position);

            Assert.Equal(0, colinux.WaitForExit());
            Assert.Equal($"colinux: The TAP interface {name} is gone; the guest's network is dead until the next start\n", colinux.Errors);
        }
        finally
        {
            HostTool.Run("ip", "link", "delete", name);
        }
    }

    [Fact]
    public void Net_None_GuestHasNoCard()
    {
        string flavour = "6.1-cloud";
        (int exitCode, string output, _) = Colinux.Run("run", "-k", flavour, "-m", "256M", "--net", "none", "-a", "colinux.script=\"ls /sys/class/net\"");

        Assert.Equal(0, exitCode);
        Assert.Equal("lo\n", Assert.NotNull(GuestScript.Parse(output)).Output);
    }

    [Theory]
    [InlineData("lo", "lo is an interface of another kind than TAP")]
    [InlineData("tap:x", "is no name of an interface")]
    public void Net_BadTap_IsOneClearLine(string name, string reason)
    {
        Assert.SkipUnless(name != "lo" || File.Exists("/dev/net/tun"), "needs TAP interfaces");
        (int exitCode, _, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "--net", "tap:" + name);

        Assert.InRange(exitCode, 1, 2);
        string first = errors.Split('\n')[0];
        bool isDenied = first.Contains("may not open /dev/net/tun", StringComparison.Ordinal);
        Assert.True(isDenied || first.Contains(reason, StringComparison.Ordinal), errors);
    }
}
