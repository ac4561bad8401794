using System.Diagnostics;
using System.Runtime.Versioning;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Host folders in a guest.</summary>
public sealed class ShareTests : IDisposable
{
    private const int Usage = 2;

    private readonly string _top = Directory.CreateTempSubdirectory("colinux-test-").FullName;
    private readonly string _folder;

    public ShareTests()
    {
        _folder = Path.Combine(_top, "shared");
        Directory.CreateDirectory(_folder);
        File.WriteAllText(Path.Combine(_top, "secret"), "secret");
    }

    public void Dispose() => Directory.Delete(_top, recursive: true);

    [Theory]
    [InlineData("6.1-generic")]
    [InlineData("6.12-generic")]
    [UnsupportedOSPlatform("macos")]
    public async Task Share_EverythingAGuestDoes_IsAsOnALocalFileSystem(string kernel)
    {
        Assert.SkipUnless(kernel == "6.1-generic" || TestScale.IsThorough, $"only with {TestScale.Variable} of 2 or more");
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs a Linux host");
        int seed = Environment.TickCount;
        RandomTree.Make(Path.Combine(_folder, "tree"), new Random(seed));
        File.CreateSymbolicLink(Path.Combine(_folder, "escape"), Path.Combine(_top, "secret"));
        MakeHugeFolder(TestScale.IsThorough ? 100_000 : 10_000);
        using (Process process = Process.Start("mkfifo", [Path.Combine(_folder, "hostpipe")]))
        {
            process.WaitForExit();
        }

        File.Copy(Path.Combine(AppContext.BaseDirectory, "Data", "share.py"), Path.Combine(_folder, "share.py"));
        string image = await new RootImageBuilder(GuestCache.ForUser()).GetAsync(
            new RootImageOptions { Packages = ["git", "python3"] }, cancellationToken: TestContext.Current.CancellationToken);
        using FileStream hostLock = new(Path.Combine(_folder, "hostlock"), FileMode.Create, FileAccess.ReadWrite, FileShare.ReadWrite);
        hostLock.SetLength(10);
        hostLock.Lock(0, 10);

        using Colinux colinux = Colinux.Start(
            "run", "-k", kernel, "-i", image, "-m", "1G", "--share", $"{_folder}:main", "--share", $"{_folder}:look,ro",
            "-a", $"colinux.script=\"mount -t tmpfs tmpfs /tmp; python3 /mnt/main/share.py /mnt/main /mnt/look /tmp {seed}\"");
        colinux.CloseInput();
        WaitForFile("release", colinux);
        hostLock.Unlock(0, 10);
        WaitForFile("ready", colinux);
        File.WriteAllText(Path.Combine(_folder, "answer"), "from the host");
        Thread.Sleep(50);
        File.AppendAllText(Path.Combine(_folder, "answer"), ", and more");
        Assert.Equal(0, colinux.WaitForExit());

        TestContext.Current.SendDiagnosticMessage(colinux.Output);
        Assert.Equal(15, colinux.Output.Split('\n').Count(line => line.StartsWith("ok ", StringComparison.Ordinal)));
        Assert.DoesNotContain("FAILED", colinux.Output, StringComparison.Ordinal);
        Assert.Equal(RandomTree.Describe(Path.Combine(_folder, "tree")), RandomTree.Describe(Path.Combine(_folder, "back")));
        Assert.Equal(["secret", "shared"], Directory.EnumerateFileSystemEntries(_top).Select(Path.GetFileName).Order());
        Assert.Equal("secret", File.ReadAllText(Path.Combine(_top, "secret")));
    }

    [Fact]
    public void Run_WithoutOptions_HasTheCurrentFolderAndSaysSo()
    {
        using Colinux colinux = Colinux.StartIn(_folder, "run");
        colinux.WaitFor("The folder that colinux was started in is here as /mnt/host.");
        colinux.WaitFor(Colinux.Prompt);
        colinux.Type("pwd; echo from the guest > new\n");
        colinux.WaitFor("\n/mnt/host\n");
        WaitForFile("new", colinux);
        colinux.Type("exit\n");
        Assert.Equal(0, colinux.WaitForExit());

        Assert.Equal("from the guest\n", File.ReadAllText(Path.Combine(_folder, "new")));
    }

    [Fact]
    public void Share_SeveralWithOptions_EachIsAsItsOptionsSay()
    {
        string keep = Directory.CreateDirectory(Path.Combine(_top, "keep")).FullName;
        string map = Directory.CreateDirectory(Path.Combine(_top, "map")).FullName;
        File.WriteAllText(Path.Combine(_folder, "old"), "old\n");
        (int exitCode, string output, string errors) = Colinux.Run(
            "run", "--share", $"{_folder}:locked,ro", "--share", $"{keep}:kept,owner=keep", "--share", map,
            "-a", """
            colinux.script="ls -1 /mnt; cat /mnt/locked/old; echo x > /mnt/locked/new; rm -f /mnt/locked/old; echo x > /mnt/kept/f; echo x > /mnt/map/f;
            for d in kept map; do stat -c %u:%g /mnt/$d/f; chown 1234:5678 /mnt/$d/f; chmod 4750 /mnt/$d/f; stat -c '%u:%g %a' /mnt/$d/f; done 2>&1"
            """.ReplaceLineEndings(" "));

        Assert.Equal(0, exitCode);
        Assert.Empty(errors);
        string own = HostTool.Do("stat", "-c", "%u:%g", map).Trim();
        string kept = HostTool.Do("stat", "-c", "%u:%g %a", Path.Combine(keep, "f")).Trim();
        string refused = Environment.IsPrivilegedProcess ? "" : "chown: /mnt/kept/f: Operation not permitted\n";
        Assert.Equal(
            $"kept\nlocked\nmap\nold\n/colinux/run: line 2: can't create /mnt/locked/new: Read-only file system\nrm: can't remove '/mnt/locked/old': Read-only file system\n"
            + $"{own}\n{refused}{kept}\n0:0\n1234:5678 4750\n",
            Assert.NotNull(GuestScript.Parse(output)).Output);
        Assert.Equal(Environment.IsPrivilegedProcess ? "1234:5678 4750" : $"{own} 4750", kept);

        // The guest's owner and set-id bits are noted beside the file, and mean nothing on the host.
        Assert.Equal($"{own} 750", HostTool.Do("stat", "-c", "%u:%g %a", Path.Combine(map, "f")).Trim());
        Assert.Equal(["old"], Directory.EnumerateFileSystemEntries(_folder).Select(Path.GetFileName));
    }

    [Fact]
    public void Share_FolderRemovedOnTheHost_IsToldAndTheGuestGoesOn()
    {
        string removed = Path.Combine(_top, "removed");
        Directory.CreateDirectory(removed);
        using Colinux colinux = Colinux.Start("run", "--share", $"{removed}:gone");
        colinux.WaitFor(Colinux.Prompt);
        Directory.Delete(removed);
        colinux.Type("ls /mnt/gone; cat /mnt/gone/file; echo x > /mnt/gone/new; echo still $((40 + 2))\n");
        colinux.WaitFor("No such file or directory");
        colinux.WaitFor("still 42");
        colinux.Type("exit\n");
        Assert.Equal(0, colinux.WaitForExit());

        string line = Assert.Single(colinux.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains($"the folder {removed} was removed", line, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_KernelWithout9p_SaysSo()
    {
        (int exitCode, _, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "--share", _folder);
        Assert.Equal(Usage, exitCode);
        Assert.Contains("the kernel 6.1-cloud has no 9p", errors, StringComparison.Ordinal);

        using Colinux colinux = Colinux.StartIn(_folder, "run", "-k", "6.1-cloud");
        colinux.WaitFor("This kernel has no 9p, so no folder of the host is here");
        colinux.WaitFor(Colinux.Prompt);
    }

    private void MakeHugeFolder(int count)
    {
        string folder = Path.Combine(_folder, $"huge-{count}");
        Directory.CreateDirectory(folder);
        for (int i = 0; i < count; i++)
        {
            File.Create(Path.Combine(folder, $"{i}")).Dispose();
        }
    }

    private void WaitForFile(string name, Colinux colinux)
    {
        string path = Path.Combine(_folder, name);
        bool isThere = SpinWait.SpinUntil(() => File.Exists(path) || colinux.HasExited, Colinux.Patience);
        Assert.True(isThere && File.Exists(path), $"no file {name}:\n{colinux.Output}\n{colinux.Errors}");
    }
}
