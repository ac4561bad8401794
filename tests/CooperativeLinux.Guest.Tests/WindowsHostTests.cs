using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Guests of the Windows build, under Wine; see tests/windows.</summary>
[Trait("Host", "Windows")]
public sealed class WindowsHostTests : IDisposable
{
    private const string Reason = "run by tests/windows boot";
    private const int Failed = 1, Usage = 2, BadKernel = 3, GuestPanic = 4;
    private const long Mebibyte = 1 << 20;

    // To change attributes Wine opens a file for writing, which only root may where they say read-only.
    private static readonly bool s_changesReadOnly = Environment.IsPrivilegedProcess;

    private readonly string _top = Directory.CreateTempSubdirectory("colinux-test-").FullName;
    private readonly HostServices _host = new();

    public static bool IsWanted => Colinux.WindowsPath is not null;

    public void Dispose()
    {
        _host.Dispose();
        Directory.Delete(_top, recursive: true);
    }

    [Fact(SkipUnless = nameof(IsWanted), Skip = Reason)]
    public async Task Guest_DefaultOne_HasClockMemoryDiskNetworkAndFolder()
    {
        string shared = Directory.CreateDirectory(Path.Combine(_top, "shared")).FullName;
        string basis = Path.Combine(_top, "base.img");
        string overlay = Path.Combine(_top, "over.img");
        using (DiskFile file = DiskFile.Create(basis))
        {
            file.SetLength(64 * Mebibyte);
            file.Write("from the base\n"u8, 48 * Mebibyte);
        }

        byte[] before = SHA256.HashData(File.ReadAllBytes(basis));
        IPEndPoint names = _host.ServeNames(IPAddress.Parse("10.0.2.2"));
        _host.AddFile("big", RandomNumberGenerator.GetBytes((int)(16 * Mebibyte)));
        int port = FreePort();
        string? uploaded = null;
        int upload = _host.Listen(IPAddress.Loopback, socket => uploaded = HostServices.ReadHash(socket));
        File.WriteAllText(Path.Combine(shared, "from-host"), "from the host\n");
        File.WriteAllText(Path.Combine(shared, "script"), $$"""
            cd /mnt/shared
            web=10.0.2.2:{{_host.WebPort}}
            if [ ! -e first ]; then
                echo time $(date +%s)
                start=$(cut -d' ' -f1 /proc/uptime); sleep 3; echo slept $start $(cut -d' ' -f1 /proc/uptime)
                head -c 80000000 /dev/zero > /tmp/zero; echo memory $(sha256sum < /tmp/zero); rm /tmp/zero
                modprobe ext4; mke2fs -F /dev/xvda 32768 > /dev/null; mkdir /m; mount -t ext4 /dev/xvda /m
                head -c 9000000 /dev/urandom > /m/data; sha256sum < /m/data > first; head -c 8000000 /dev/urandom > /m/gone; sync; rm /m/gone; sync; fstrim /m 2>/dev/null
                umount /m; dd if=/dev/xvda bs=1M skip=48 count=1 2> /dev/null | head -1
                reboot -f
            fi
            modprobe ext4; mkdir /m; mount -t ext4 /dev/xvda /m; sha256sum < /m/data | cmp - first && echo disk same
            cat from-host; mkdir -p tree/deep; cp /bin/busybox tree/deep/copy; cmp /bin/busybox tree/deep/copy && echo folder same
            echo x > 'a:b'; echo y > CON; echo z > 'dot.'; ls -1 'a:b' CON 'dot.'; cat a:b CON dot.; mv CON nul.txt; cat nul.txt; rm a:b nul.txt dot.
            echo one > name; cat NAME; ln name hard && echo two >> hard; cat name; {{(s_changesReadOnly ? "chmod 444 name; stat -c %a name; " : "")}}rm name; cat hard
            touch -d @1000000000 hard; stat -c %Y hard; mkfifo pipe 2>&1 | grep -o 'Operation not permitted'
            cat ../../../etc/hostname tree/../../secret 2>&1 | grep -c 'not the'
            wget -qO /tmp/big http://$web/big && sha256sum < /tmp/big; nc 10.0.2.2 {{upload}} < /tmp/big
            wget -qO - http://any.name.test:{{_host.WebPort}}/big | sha256sum
            ping -c 1 -q 10.0.2.2 | grep received; nc 10.0.2.2 1 2>&1
            echo listening; nc -l -p 22 -e /bin/cat
            echo done > last
            """.ReplaceLineEndings("\n"));
        File.WriteAllText(Path.Combine(_top, "secret"), "not the guest's");

        string[] start = [.. await BootAsync("6.1-generic"), "--share", $"{Colinux.WinePath(shared)}:shared"];
        using Colinux colinux = Colinux.StartWindows(
            [.. start, "--disk", $"{Colinux.WinePath(basis)},overlay={Colinux.WinePath(overlay)}", "--net", $"user,dns={names}", "--forward", $"tcp:{port}:22", "-a", "colinux.script=\"sh /mnt/shared/script\""]);
        (int position, _) = colinux.WaitFor("about to get started");
        using (Colinux other = Colinux.StartWindows([.. start, "--disk", Colinux.WinePath(overlay)]))
        {
            // While the first machine has it.
            Assert.Equal(Failed, other.WaitForExit());
            Assert.Contains("over.img is in use by another machine or program", other.Errors, StringComparison.Ordinal);
        }

        colinux.WaitFor("listening\n", position);
        Assert.Equal("hello", Say(port, "hello"));
        Assert.Equal(0, colinux.WaitForExit());

        // Wine does not punch holes, and so a discard is refused.
        Assert.Matches(@"^(colinux: Disk xvda: the file system of Z:.*over\.img cannot give space back[^\n]*\n)?$", colinux.Errors);

        string output = colinux.Output;
        long clock = long.Parse(Word(output, "time", 1), CultureInfo.InvariantCulture);
        Assert.InRange(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - clock, 2, (long)Colinux.Patience.TotalSeconds);
        double slept = double.Parse(Word(output, "slept", 2), CultureInfo.InvariantCulture) - double.Parse(Word(output, "slept", 1), CultureInfo.InvariantCulture);
        Assert.InRange(slept, 2.9, 20);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(new byte[80_000_000])), Word(output, "memory", 1));
        Assert.Contains("\nfrom the base\n", output, StringComparison.Ordinal);
        string hash = _host.HashOf("big");
        string expected = $"""
            disk same
            from the host
            folder same
            CON
            a:b
            dot.
            x
            y
            z
            y
            one
            one
            two
            {(s_changesReadOnly ? "555\n" : "")}one
            two
            1000000000
            Operation not permitted
            0
            {hash}  -
            {hash}  -
            1 packets transmitted, 1 packets received, 0% packet loss
            nc: can't connect to remote host (10.0.2.2): Connection refused
            listening
            """.ReplaceLineEndings("\n");
        Assert.True(output.Contains(expected, StringComparison.Ordinal), output);
        Assert.Equal(hash, uploaded);
        Assert.Equal("done\n", File.ReadAllText(Path.Combine(shared, "last")));
        Assert.Equal(before, SHA256.HashData(File.ReadAllBytes(basis)));
        using DiskFile written = DiskFile.Open(overlay, isWritable: false);
        Assert.InRange(written.AllocatedLength, 9_000_000, 40 * Mebibyte);
        using Disk disk = OverlayDisk.Open(overlay, basis, isReadOnly: true);
        Assert.Equal(64 * Mebibyte, disk.Length);
    }

    [Fact(SkipUnless = nameof(IsWanted), Skip = Reason)]
    public async Task Panic_IsShownAndReported()
    {
        (int exitCode, string output, string errors) = Colinux.RunWindows([.. await BootAsync("6.1-cloud"), "-a", "colinux.script=\"sleep 0.5; echo c > /proc/sysrq-trigger\""]);

        Assert.Equal(GuestPanic, exitCode);
        Assert.Equal("colinux: the guest's kernel panicked: Kernel panic - not syncing: sysrq triggered crash\r\n", errors);
        Assert.Contains("</TASK>", output, StringComparison.Ordinal);
    }

    [Fact(SkipUnless = nameof(IsWanted), Skip = Reason)]
    public async Task Shell_OnPipes_TakesInputAndPowersOff()
    {
        using Colinux colinux = Colinux.StartWindows(await BootAsync("6.1-cloud"));
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        colinux.Type("echo got $((6*7)) ü; poweroff -f\n");
        colinux.WaitFor("got 42 ü", position);

        Assert.Equal(0, colinux.WaitForExit());
        Assert.Empty(colinux.Errors);
    }

    [Fact(SkipUnless = nameof(IsWanted), Skip = Reason)]
    public async Task Run_WhatCannotBe_IsOneClearLine()
    {
        string[] start = await BootAsync("6.1-cloud");
        File.WriteAllText(Path.Combine(_top, "file"), "");
        foreach ((int expected, string text, string[] arguments) in ((int, string, string[])[])
        [
            (BadKernel, "nowhere", ["run", "-k", @"Z:\nowhere"]),
            (Failed, "TAP interfaces only exist on Linux; use --net user", [.. start, "--net", "tap:tap0"]),
            (Usage, "does not exist", [.. start, "--share", Colinux.WinePath(Path.Combine(_top, "none"))]),
            (Usage, "owner=keep does not exist on Windows", [.. start, "--share", $"{Colinux.WinePath(_top)},owner=keep"]),
            (Usage, "is not a folder", [.. start, "--share", Colinux.WinePath(Path.Combine(_top, "file"))]),
            (Failed, "is a folder", [.. start, "--disk", Colinux.WinePath(_top)]),
        ])
        {
            (int exitCode, _, string errors) = Colinux.RunWindows(arguments);

            Assert.Equal((expected, text), (exitCode, errors.Split('\n')[0].Contains(text, StringComparison.Ordinal) ? text : errors));
        }
    }

    /// <summary>The words that start a kernel, which is fetched on this side: Wine has no apt.</summary>
    internal static async Task<string[]> BootAsync(string flavour)
    {
        Assert.True(KernelFlavour.TryParse(flavour, out KernelFlavour parsed));
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(parsed, null, TestContext.Current.CancellationToken);
        IReadOnlyList<string> initrds = await new DefaultGuest(cache).GetInitrdsAsync(kernel, null, TestContext.Current.CancellationToken);
        return ["run", "-k", Colinux.WinePath(kernel.VmlinuzPath), .. initrds.SelectMany(initrd => (string[])["-i", Colinux.WinePath(initrd)]), "-m", "256M"];
    }

    private static string Word(string output, string after, int number)
    {
        string line = output.Split('\n').FirstOrDefault(line => line.StartsWith(after + " ", StringComparison.Ordinal)) ?? throw new InvalidOperationException($"no '{after}' in:\n{output}");
        return line.Split(' ')[number];
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
                using TcpClient client = new("127.0.0.1", port);
                using NetworkStream stream = client.GetStream();
                stream.Write(Encoding.ASCII.GetBytes(text));
                client.Client.Shutdown(SocketShutdown.Send);
                using StreamReader reader = new(stream);
                return reader.ReadToEnd();
            }
            catch (Exception error) when (tries < 100 && error is IOException or SocketException)
            {
                Thread.Sleep(100);
            }
        }
    }
}
