using CooperativeLinux.Guests.Files;

namespace CooperativeLinux.Guests.Tests.Files;

public sealed class FileTreeTests
{
    [Fact]
    public void AddText_BelowALink_LandsInItsTarget()
    {
        FileTree tree = new();
        tree.AddLink("bin", "usr/bin");

        tree.AddText("./bin/sh", "x");

        Assert.Equal(["bin", "usr", "usr/bin", "usr/bin/sh"], tree.Entries.Select(e => e.Key));
        Assert.NotNull(tree.Find("/bin/sh"));
    }

    [Fact]
    public void AddText_BelowAnAbsoluteLink_StaysInTheTree()
    {
        FileTree tree = new();
        tree.AddLink("var/run", "/run");

        tree.AddText("var/run/x", "");

        Assert.NotNull(tree.Find("run/x"));
    }

    [Fact]
    public void AddDirectory_OverALink_KeepsTheLink()
    {
        FileTree tree = new();
        tree.AddLink("lib", "usr/lib");

        tree.AddDirectory("lib");

        Assert.Equal(FileKind.SymbolicLink, tree.Find("lib")?.Kind);
    }

    [Theory]
    [InlineData("../../etc/x", "etc/x")]
    [InlineData("a/../../b", "b")]
    [InlineData("//a///b/", "a/b")]
    public void Resolve_OddPaths_NeverLeaveTheTree(string path, string expected)
    {
        Assert.Equal(expected, new FileTree().Resolve(path));
    }

    [Fact]
    public void Resolve_LinkLoop_IsAnError()
    {
        FileTree tree = new();
        tree.AddLink("a", "b");
        tree.AddLink("b", "a");

        Assert.Throws<ArgumentException>(() => tree.Resolve("a/x"));
        Assert.False(tree.Exists("a"));
    }

    [Fact]
    public void Add_ThroughAFile_IsAnError()
    {
        FileTree tree = new();
        tree.AddText("a", "");

        Assert.Throws<ArgumentException>(() => tree.AddText("a/b", ""));
    }

    [Fact]
    public void Exists_LinkChain_IsFollowed()
    {
        FileTree tree = new();
        tree.AddText("usr/bin/mawk", "");
        tree.AddLink("etc/alternatives/awk", "/usr/bin/mawk");
        tree.AddLink("usr/bin/awk", "/etc/alternatives/awk");
        tree.AddLink("usr/bin/dangling", "nowhere");

        Assert.True(tree.Exists("usr/bin/awk"));
        Assert.False(tree.Exists("usr/bin/dangling"));
    }

    [Fact]
    public void Remove_Folder_TakesWhatIsBelow()
    {
        FileTree tree = new();
        tree.AddText("a/b/c", "");
        tree.AddText("ab", "");

        tree.Remove("a");

        Assert.Equal(["ab"], tree.Entries.Select(e => e.Key));
    }
}
