using System.Text;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Machines;
using CooperativeLinux.Guests.Packages;

namespace CooperativeLinux.Guests.Tests.Machines;

public sealed class DebianRootTests
{
    private static readonly DebianRootOptions _options = new() { HostName = "box" };

    [Fact]
    public void OfRelease_OwnSuites_BecomeThoseOfTheOther()
    {
        AptSource main = Source(["http://mirror.example/debian"], "bookworm", "bookworm-updates", "bookworm-backports");
        AptSource security = Source(["http://mirror.example/debian-security"], "stable-security");
        AptSource foreign = Source(["http://example.org"], "nodistro");

        IReadOnlyList<AptSource> sources = AptSourceChoice.OfRelease([main, security, foreign], "bookworm", "trixie");

        Assert.Equal([["trixie", "trixie-updates"], ["trixie-security"]], sources.Select(source => source.Suites));
        Assert.Equal([main.Uris, security.Uris], sources.Select(source => source.Uris));
    }

    [Fact]
    public void OfRelease_NothingOfDebian_SaysWhatToDo()
    {
        GuestBuildException error = Assert.Throws<GuestBuildException>(() => AptSourceChoice.OfRelease([Source(["http://example.org"], "nodistro")], "bookworm", "trixie"));

        Assert.Contains("--mirror", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_Files_NameTheMachineAndItsSources()
    {
        FileTree tree = DebianRootFiles.Create(_options, [Source(["http://one", "http://two"], "trixie")]);

        Assert.Equal("box\n", Text(tree, "etc/hostname"));
        Assert.Contains("127.0.1.1\tbox\n", Text(tree, "etc/hosts"), StringComparison.Ordinal);
        Assert.Equal("Types: deb\nURIs: http://one http://two\nSuites: trixie\nComponents: main\n\n", Text(tree, "etc/apt/sources.list.d/debian.sources"));
        Assert.StartsWith("#!/bin/sh\n", Text(tree, "etc/initramfs-tools/hooks/colinux"), StringComparison.Ordinal);
        Assert.Equal(0b111_101_101, tree.Find("etc/initramfs-tools/hooks/colinux")!.Permissions);
    }

    [Fact]
    public void Create_SourceWithAKeyFileOfItsOwn_BringsTheKey()
    {
        using TemporaryFolder folder = new();
        string key = folder.File("key.gpg");
        File.WriteAllText(key, "the key");
        AptSource source = Source(["http://one"], "trixie") with { Options = new Dictionary<string, string> { ["Signed-By"] = key } };

        FileTree tree = DebianRootFiles.Create(_options, [source]);

        Assert.Equal("the key", Text(tree, key));
        Assert.Contains($"Signed-By: {key}\n", Text(tree, "etc/apt/sources.list.d/debian.sources"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("linux-image-amd64")]
    [InlineData("linux-image-amd64", "git", "gcc")]
    [InlineData(null, "git", "linux-image-cloud-amd64")]
    public void KernelPackages_NoneWanted_IsTheUsualOne(string? expected, params string[] wanted)
    {
        Assert.Equal(expected is null ? [] : [expected], DebianRootBuilder.KernelPackages(wanted));
    }

    [Fact]
    public void Progress_OutputInPieces_IsFollowed()
    {
        MemoryStream log = new();
        List<GuestProgress> reports = [];
        using InstallationProgress progress = new(new DebianRootInstallation("", [], "", PackageCount: 3, EssentialCount: 2), log, new Reports(reports));
        string console = "colinux: begin\r\ncolinux: step Unpacking\r\nUnpacking a ...\r\nUnpacking b ...\r\nSetting up a (1) ...\r\nSetting up b (1) ...\r\n\r\ncolinux: exit 0\r\n";

        foreach (char c in console)
        {
            progress.Write(Encoding.ASCII.GetBytes([c]));
        }

        Assert.Equal(console, Encoding.ASCII.GetString(log.ToArray()));
        Assert.True(progress.HasSucceeded);
        Assert.Equal(new GuestProgress("Unpacking", 0.5), reports[^1]);
        Assert.Equal("Setting up b (1) ...", progress.LastOutput.Last());
    }

    [Theory]
    [InlineData("colinux: failed: no room\ncolinux: exit 1\n", "no room")]
    [InlineData("colinux: exit 01\n", "")]
    [InlineData("Setting up x\nKernel panic\n", "")]
    public void Progress_NoGoodEnd_HasNotSucceeded(string console, string expected)
    {
        using InstallationProgress progress = new(new DebianRootInstallation("", [], "", 1, 1), Stream.Null, null);

        progress.Write(Encoding.ASCII.GetBytes(console));

        Assert.False(progress.HasSucceeded);
        Assert.Equal(expected, progress.Failure);
    }

    [Theory]
    [InlineData("deb", true)]
    [InlineData("Deb-12", true)]
    [InlineData("", false)]
    [InlineData("-deb", false)]
    [InlineData("deb-", false)]
    [InlineData("..", false)]
    [InlineData("a/b", false)]
    [InlineData("a.b", false)]
    [InlineData("dëb", false)]
    public void IsName_Text_IsAHostName(string text, bool expected) => Assert.Equal(expected, MachineFolder.IsName(text));

    [Fact]
    public void Store_BuiltMachine_AppearsWhenItIsPublished()
    {
        using TemporaryFolder folder = new();
        MachineStore store = new(Path.Combine(folder.Path, "machines"));

        MachineFolder built = store.Begin("deb");
        File.WriteAllText(built.ConfigurationPath, "");
        IReadOnlyList<MachineFolder> before = store.List();
        MachineFolder machine = store.Publish(built);

        Assert.Empty(before);
        Assert.Equal([machine], store.List());
        Assert.Contains("already", Assert.Throws<GuestBuildException>(() => store.Begin("deb")).Message, StringComparison.Ordinal);
        store.Remove(machine);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(folder.Path, "machines")));
    }

    [Fact]
    public void Store_LeftoversOfDeadProcesses_AreRemoved()
    {
        using TemporaryFolder folder = new();
        string dead = Path.Combine(folder.Path, ".new-deb-2147483647");
        string alive = Path.Combine(folder.Path, $".new-web-{Environment.ProcessId}");
        Directory.CreateDirectory(Path.Combine(dead, "sub"));
        Directory.CreateDirectory(alive);
        Directory.CreateDirectory(Path.Combine(folder.Path, ".git"));

        MachineFolder built = new MachineStore(folder.Path).Begin("deb");

        Assert.Equal([".git", Path.GetFileName(built.Path), ".new-web-" + Environment.ProcessId], Directory.EnumerateDirectories(folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    private static AptSource Source(string[] uris, params string[] suites) => new(uris, suites, ["main"], new Dictionary<string, string>());

    private static string Text(FileTree tree, string path) => Encoding.UTF8.GetString(tree.Find(path)!.Content.Span);

    private sealed class Reports(List<GuestProgress> reports) : IProgress<GuestProgress>
    {
        public void Report(GuestProgress value) => reports.Add(value);
    }
}
