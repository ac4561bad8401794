using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Guests on the user network, with servers on the host.</summary>
public sealed class NetworkTests : IDisposable
{
    private const int MuchData = 64 << 20;

    private readonly HostServices _host = new();

    public void Dispose() => _host.Dispose();

    [Theory]
    [InlineData("6.1-generic")]
    [InlineData("6.12-cloud")]
    public void Guest_OnTheUserNetwork_ReachesTheHostInEveryWay(string flavour)
    {
        string? uploaded = null;
        string? spoken = null;
        int upload = _host.Listen(IPAddress.Loopback, socket => uploaded = HostServices.ReadHash(socket));
        int reset = _host.Listen(IPAddress.Loopback, socket =>
        {
            socket.Receive(new byte[10]);
            socket.LingerState = new LingerOption(true, 0);
        });
        int half = _host.Listen(IPAddress.Loopback, socket =>
        {
            // The guest's end is closed first; what the host says then must still arrive.
            spoken = HostServices.ReadHash(socket);
            socket.Send("after the end\n"u8);
        });
        IPEndPoint names = _host.ServeNames(IPAddress.Parse("10.0.2.2"));
        _host.AddFile("big", RandomNumberGenerator.GetBytes(MuchData));
        _host.AddFile("small", RandomNumberGenerator.GetBytes(50_000));
        string web = $"10.0.2.2:{_host.WebPort}";

        string text = RunScript(flavour, $"user,dns={names}", $$"""
            ping -c 2 -q 10.0.2.2 | grep received
            until ping -6 -c 1 fd00::2 > /dev/null 2>&1; do sleep 0.1; done
            ping -6 -c 2 -q fd00::2 | grep received
            cat /etc/resolv.conf
            wget -qO /tmp/big http://{{web}}/big && sha256sum < /tmp/big
            nc 10.0.2.2 {{upload}} < /tmp/big
            wget -qO - http://[fd00::2]:{{_host.WebPort}}/small | sha256sum
            wget -qO - http://any.name.test:{{_host.WebPort}}/small | sha256sum
            echo question | nc 10.0.2.2 {{half}}
            echo x | nc 10.0.2.2 {{reset}}; echo reset
            nc 10.0.2.2 1 2>&1
            nc 10.0.2.99 80 2>&1
            for i in $(seq 150); do wget -qO /tmp/p$i http://{{web}}/small & done; wait
            cat /tmp/p* | sha256sum
            """);

        string small = _host.HashOf("small") + "  -\n";
        string many = Convert.ToHexStringLower(SHA256.HashData([.. Enumerable.Repeat(FileContent("small"), 150).SelectMany(bytes => bytes)]));
        Assert.Equal(
            $"""
            2 packets transmitted, 2 packets received, 0% packet loss
            2 packets transmitted, 2 packets received, 0% packet loss
            nameserver 10.0.2.3
            {_host.HashOf("big")}  -
            {small}{small}after the end
            reset
            nc: can't connect to remote host (10.0.2.2): Connection refused
            nc: can't connect to remote host (10.0.2.99): No route to host
            {many}  -

            """,
            text);
        Assert.Equal(_host.HashOf("big"), uploaded);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData("question\n"u8)), spoken);
    }

    [Fact]
    public void Guest_Reboots_ForwardStaysAndReachesItAgain()
    {
        int port = FreePort();
        string next = "echo first; reboot -f";
        int script = _host.Listen(IPAddress.Loopback, socket =>
        {
            socket.Send(Encoding.ASCII.GetBytes($"echo listening; nc -l -p 22 -e /bin/cat; {next}\n"));
            next = "echo second";
        });
        using Colinux colinux = Colinux.Start(
            "run", "-k", "6.1-cloud", "-m", "256M", "--forward", $"tcp:{port}:22", "-a", $"colinux.script=\"nc 10.0.2.2 {script} > /tmp/t; sh /tmp/t\"");

        int position = 0;
        foreach (string last in (string[])["first", "second"])
        {
            (position, _) = colinux.WaitFor("listening", position);
            Assert.Equal("hello " + last, Say(port, "hello " + last));
            (position, _) = colinux.WaitFor(last, position);
        }

        Assert.Equal(0, colinux.WaitForExit());
        Assert.Empty(colinux.Errors);
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

    private byte[] FileContent(string name)
    {
        using HttpClient client = new();
        return client.GetByteArrayAsync(new Uri($"http://127.0.0.1:{_host.WebPort}/{name}")).GetAwaiter().GetResult();
    }

    /// <summary>Runs a script that the guest fetches from the host, and returns its output.</summary>
    private string RunScript(string flavour, string net, string script)
    {
        _host.AddFile("script", Encoding.ASCII.GetBytes(script.ReplaceLineEndings("\n")));
        (int exitCode, string output, string errors) = Colinux.Run(
            "run", "-k", flavour, "-m", "512M", "--net", net, "-a", $"colinux.script=\"wget -qO /tmp/t http://10.0.2.2:{_host.WebPort}/script; sh /tmp/t\"");
        Assert.Equal(0, exitCode);
        Assert.Empty(errors);
        return Assert.NotNull(GuestScript.Parse(output)).Output;
    }

    private static int FreePort()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>Says something to an echo behind a port of the host, as soon as somebody listens there.</summary>
    private static string Say(int port, string text)
    {
        for (int tries = 0; ; tries++)
        {
            try
            {
                using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                socket.Connect(IPAddress.Loopback, port);
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
}
