using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>What programs write to a disk, a share and the network is what they and the host read.</summary>
public sealed class IntegrityTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;
    private readonly HostServices _host = new();

    public void Dispose()
    {
        _host.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    [UnsupportedOSPlatform("macos")]
    public async Task Data_OverDiskShareAndNetwork_ArriveAsTheyAre()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && HostTool.HasFileSystemTools, "needs a Linux host with e2fsprogs");
        int seed = TestScale.Seed;
        string share = Directory.CreateDirectory(In("share")).FullName;
        RandomTree.Make(In("share/tree"), new Random(seed));
        string tree = RandomTree.Describe(In("share/tree"));
        Directory.CreateDirectory(In("content"));
        HostTool.Do("cp", "-a", In("share/tree"), In("content"));
        HostTool.Do("mke2fs", "-q", "-t", "ext4", "-d", In("content"), In("disk.img"), "256M");
        // Of the guest's root, as the share shows them: links could have no other owner there.
        HostTool.Do("tar", "-C", In("share/tree"), "--owner=0", "--group=0", "-cf", In("down.tar"), ".");
        int down = _host.Listen(IPAddress.Loopback, socket => socket.SendFile(In("down.tar")));
        int up = _host.Listen(IPAddress.Loopback, socket => Take(socket, In("up.tar")));
        File.Copy(Path.Combine(AppContext.BaseDirectory, "Data", "integrity.py"), In("share/integrity.py"));
        string image = await new RootImageBuilder(GuestCache.ForUser()).GetAsync(
            new RootImageOptions { Packages = ["git", "python3"] }, cancellationToken: TestContext.Current.CancellationToken);

        using Colinux colinux = Colinux.Start(
            "run", "-k", "6.1-generic", "-i", image, "-m", "768M", "-d", In("disk.img"), "--share", $"{share}:share",
            "-a", $"colinux.script=\"mount -t tmpfs tmpfs /tmp; mkdir /tmp/disk; modprobe ext4; mount -t ext4 /dev/xvda /tmp/disk; python3 /mnt/share/integrity.py /tmp/disk /mnt/share 10.0.2.2 {down} {up} {seed}\"");

        colinux.CloseInput();
        int exitCode = colinux.WaitForExit(TimeSpan.FromMinutes(10));
        string output = colinux.Output;
        Assert.True(exitCode == 0 && colinux.Errors.Length == 0, output + colinux.Errors);
        TestContext.Current.SendDiagnosticMessage(output);
        Assert.True(output.Split('\n').Count(line => line.StartsWith("ok ", StringComparison.Ordinal)) == 4, $"seed {seed}: {output}");
        HostTool.Run("e2fsck", "-E", "journal_only", "-y", In("disk.img"));
        HostTool.Do("e2fsck", "-f", "-n", In("disk.img"));
        HostTool.Do("debugfs", "-R", $"rdump /from-share {_folder}", In("disk.img"));
        Directory.CreateDirectory(In("up"));
        HostTool.Do("tar", "-C", In("up"), "-xpf", In("up.tar"));
        Assert.Equal(tree, RandomTree.Describe(In("share/from-network")));
        Assert.Equal(tree, RandomTree.Describe(In("from-share")));
        Assert.Equal(tree, RandomTree.Describe(In("up")));
    }

    private static void Take(Socket socket, string path)
    {
        using (FileStream file = File.Create(path))
        {
            new NetworkStream(socket).CopyTo(file);
        }

        socket.Send("taken"u8);
    }

    private string In(string name) => Path.Combine(_folder, name);
}
