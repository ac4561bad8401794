using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Packages;

namespace CooperativeLinux.Guests.Tests.Packages;

public sealed class PackageContentsTests
{
    [Fact]
    public async Task UnpackAsync_FilesOfBothLayouts_LandInMergedUsr()
    {
        using TemporaryFolder folder = new();
        string package = new LocalArchive(folder).AddPackage("tool", "1.0", "", new Dictionary<string, string>
        {
            ["bin/tool"] = "old place",
            ["usr/bin/other"] = "new place",
            ["usr/bin/link"] = "->other",
            ["usr/share/doc/tool/copyright"] = "left out",
        });
        FileTree tree = new();
        tree.AddLink("bin", "usr/bin");
        string staging = folder.File("staging/x")[..^2];

        PackageContents contents = await PackageContents.UnpackAsync(package, tree, staging, TestContext.Current.CancellationToken);

        Assert.Equal("old place", await File.ReadAllTextAsync(tree.Find("usr/bin/tool")!.ContentPath!, TestContext.Current.CancellationToken));
        Assert.Equal((0, 0), (tree.Find("usr/bin/other")!.UserId, tree.Find("usr/bin/other")!.GroupId));
        Assert.Equal("other", tree.Find("usr/bin/link")!.Target);
        Assert.Null(tree.Find("usr/share/doc/tool/copyright"));
        Assert.Equal(FileKind.SymbolicLink, tree.Find("bin")!.Kind);
        Assert.Equal("1.0", contents.Control["Version"]);
        Assert.Contains("/bin/tool", contents.Paths);
    }

    [Fact]
    public async Task UnpackAsync_DamagedPackage_IsOneClearError()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = new(folder);
        string package = archive.AddPackage("tool", "1.0", "", new Dictionary<string, string> { ["usr/bin/tool"] = new string('x', 100_000) });
        archive.Truncate(package);

        GuestBuildException error = await Assert.ThrowsAsync<GuestBuildException>(
            () => PackageContents.UnpackAsync(package, new FileTree(), folder.File("staging/x")[..^2], TestContext.Current.CancellationToken));

        Assert.Contains("tool_1.0_amd64.deb", error.Message, StringComparison.Ordinal);
    }
}
