using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Storage;

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
    public async Task Guest_WithCommonPrograms_UsesTheNetworkAsAnyMachineDoes()
    {
        const int Connections = 500;
        Assert.SkipUnless(TestScale.IsThorough, $"only with {TestScale.Variable} of 2 or more");
        Assert.SkipUnless(File.Exists("/usr/bin/iperf3") && File.Exists("/usr/bin/ssh"), "needs iperf3 and ssh on the host");
        string folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;
        string image = await new RootImageBuilder(GuestCache.ForUser()).GetAsync(
            new RootImageOptions { Packages = ["curl", "iperf3", "openssh-server", "bind9-dnsutils"] }, cancellationToken: TestContext.Current.CancellationToken);
        _host.AddFile("big", RandomNumberGenerator.GetBytes(MuchData));
        IPEndPoint names = _host.ServeNames(IPAddress.Parse("10.0.2.2"));
        string? uploaded = null;
        int upload = _host.Listen(IPAddress.Loopback, socket =>
        {
            // It stalls, much longer than what is on the way can hide.
            Thread.Sleep(2000);
            uploaded = TakeUpload(socket, MuchData);
        });
        int together = ServeOnceThereAre(Connections);
        int ssh = HostPort.Free();
        int iperf = HostPort.Free();
        HostTool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", Path.Combine(folder, "key"));
        using Process server = Process.Start(
            new ProcessStartInfo("iperf3", ["-s", "-p", $"{iperf}", "-B", "127.0.0.1"]) { RedirectStandardOutput = true })!;
        try
        {
            File.WriteAllText(Path.Combine(folder, "script"), $$"""
                curl -s http://10.0.2.2:{{_host.WebPort}}/big -o /tmp/big; sha256sum < /tmp/big
                curl -s -H Expect: -T /tmp/big http://10.0.2.2:{{upload}}/
                dig +short any.name.test
                for options in '' -R '-P 8' '-P 8 -R' --bidir '-u -b 50M' '-u -b 50M -R'; do
                    iperf3 -c 10.0.2.2 -p {{iperf}} -t 2 $options > /tmp/iperf || cat /tmp/iperf; echo "iperf3 $options: $?"
                done
                # curl makes at most 300 at once.
                for half in 1 2; do
                    curl -s -Z --parallel-immediate --parallel-max 300 'http://10.0.2.2:{{together}}/[1-{{Connections / 2}}]' > /tmp/half$half 2> /dev/null &
                done; wait
                cat /tmp/half1 /tmp/half2 | sort | uniq -c
                mkdir -p /run/sshd /root/.ssh; chmod 700 /root /root/.ssh; cat /mnt/net/key.pub > /root/.ssh/authorized_keys
                ssh-keygen -A > /dev/null; printf 'root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n' > /etc/passwd
                /usr/sbin/sshd -f /dev/null -o StrictModes=no -o PermitRootLogin=yes
                touch /mnt/net/ready; until [ -e /mnt/net/done ]; do sleep 0.2; done
                """.ReplaceLineEndings("\n"));
            using Colinux colinux = Colinux.Start(
                "run", "-k", "6.1-generic", "-i", image, "-m", "1G", "--net", $"user,dns={names}", "--forward", $"tcp:{ssh}:22", "--share", $"{folder}:net",
                "-a", "colinux.script=\"mount -t tmpfs tmpfs /tmp; sh /mnt/net/script\"");
            colinux.CloseInput();
            Assert.True(SpinWait.SpinUntil(() => File.Exists(Path.Combine(folder, "ready")) || colinux.HasExited, Colinux.Patience), colinux.Output);
            byte[] data = RandomNumberGenerator.GetBytes(1 << 20);
            File.WriteAllBytes(Path.Combine(folder, "data"), data);
            string hash = HostTool(
                "sh", "-c", $"ssh -q -p {ssh} -i {folder}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1 sha256sum < {folder}/data");
            File.WriteAllText(Path.Combine(folder, "done"), "");
            Assert.Equal(0, colinux.WaitForExit());

            Assert.Equal(
                $"""
                {_host.HashOf("big")}  -
                10.0.2.2
                iperf3 : 0
                iperf3 -R: 0
                iperf3 -P 8: 0
                iperf3 -P 8 -R: 0
                iperf3 --bidir: 0
                iperf3 -u -b 50M: 0
                iperf3 -u -b 50M -R: 0
                {Connections,7} together

                """,
                Assert.NotNull(GuestScript.Parse(colinux.Output)).Output);
            Assert.Equal(_host.HashOf("big"), uploaded);
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(data)) + "  -\n", hash);
        }
        finally
        {
            server.Kill();
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Guest_Reboots_ForwardStaysAndReachesItAgain()
    {
        int port = HostPort.Free();
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
            Assert.Equal("hello " + last, HostPort.Say(new IPEndPoint(IPAddress.Loopback, port), "hello " + last));
            (position, _) = colinux.WaitFor(last, position);
        }

        Assert.Equal(0, colinux.WaitForExit());
        Assert.Empty(colinux.Errors);
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

    /// <summary>A web server that answers nobody before so many are connected.</summary>
    private int ServeOnceThereAre(int connections)
    {
        int count = 0;
        ManualResetEventSlim all = new();
        return _host.Listen(IPAddress.Loopback, socket =>
        {
            socket.Receive(new byte[4096]);
            if (Interlocked.Increment(ref count) == connections)
            {
                all.Set();
            }

            if (all.Wait(Colinux.Patience))
            {
                socket.Send("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\ntogether\n"u8);
                socket.Shutdown(SocketShutdown.Send);
                socket.Receive(new byte[1]);
            }
        });
    }

    /// <summary>Takes what a web client puts, and answers.</summary>
    /// <returns>Its hash.</returns>
    private static string TakeUpload(Socket socket, int length)
    {
        using NetworkStream stream = new(socket);
        for (int newLines = 0; newLines < 4;)
        {
            int value = stream.ReadByte();
            newLines = value is '\r' or '\n' ? newLines + 1 : 0;
        }

        byte[] content = new byte[length];
        stream.ReadExactly(content);
        stream.Write("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"u8);
        return Convert.ToHexStringLower(SHA256.HashData(content));
    }

    private static string HostTool(string program, params string[] arguments)
    {
        using Process process = Process.Start(
            new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return output;
    }
}
