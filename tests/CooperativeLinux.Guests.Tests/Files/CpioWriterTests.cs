using System.Text;
using CooperativeLinux.Guests.Files;

namespace CooperativeLinux.Guests.Tests.Files;

public sealed class CpioWriterTests
{
    [Fact]
    public async Task WriteAsync_EveryKindOfFile_IsReadBack()
    {
        FileTree tree = new();
        tree.AddText("etc/motd", "hello\n", 0b110_100_000);
        tree.AddLink("bin", "usr/bin");
        tree.AddCharacterDevice("dev/hvc0", 229, 3, 0b110_000_000);
        tree.Add("srv/x", new FileNode { Kind = FileKind.Regular, Permissions = 0b100_111_101_101, UserId = 7, GroupId = 42, ModifiedSeconds = 1_700_000_000 });

        IReadOnlyList<CpioReader.Entry> entries = CpioReader.Read(await WriteAsync(tree));

        Assert.Equal(["bin", "dev", "dev/hvc0", "etc", "etc/motd", "srv", "srv/x"], entries.Select(e => e.Path));
        Assert.Equal([0xA1FF, 0x41ED, 0x2180, 0x41ED, 0x81A0, 0x41ED, 0x89ED], entries.Select(e => e.Mode));
        Assert.Equal("usr/bin", entries[0].Text);
        Assert.Equal((229, 3), (entries[2].Major, entries[2].Minor));
        Assert.Equal("hello\n", entries[4].Text);
        Assert.Equal((7, 42, 1_700_000_000L), (entries[6].UserId, entries[6].GroupId, entries[6].Modified));
    }

    [Fact]
    public async Task WriteAsync_HardLinks_ShareAnInodeAndTheLastHoldsTheContent()
    {
        FileTree tree = new();
        FileNode node = new() { Kind = FileKind.Regular, Permissions = 0b111_101_101, Content = "same"u8.ToArray() };
        tree.Add("a", node);
        tree.Add("c", node);
        tree.AddText("b", "other");

        IReadOnlyList<CpioReader.Entry> entries = CpioReader.Read(await WriteAsync(tree));

        Assert.Equal(["", "other", "same"], entries.Select(e => e.Text));
        Assert.Equal([2, 1, 2], entries.Select(e => e.Links));
        Assert.Equal(entries[0].Inode, entries[2].Inode);
        Assert.NotEqual(entries[0].Inode, entries[1].Inode);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(511)]
    public async Task WriteAsync_AnyLength_EndsAtABlock(int length)
    {
        FileTree tree = new();
        tree.AddText("f", new string('x', length));

        byte[] archive = await WriteAsync(tree);

        Assert.Equal(0, archive.Length % 512);
        Assert.Equal(length, Assert.Single(CpioReader.Read(archive)).Content.Length);
    }

    [Fact]
    public async Task WriteAsync_ContentOfHostFile_IsCopied()
    {
        using TemporaryFolder folder = new();
        byte[] content = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 100_000)));
        await File.WriteAllBytesAsync(folder.File("big"), content, TestContext.Current.CancellationToken);
        FileTree tree = new();
        tree.AddFile("big", folder.File("big"));

        Assert.Equal(content, Assert.Single(CpioReader.Read(await WriteAsync(tree))).Content);
    }

    [Fact]
    public async Task WriteAsync_MissingHostFile_SaysWhich()
    {
        FileTree tree = new();
        tree.AddFile("x", "/nonexistent/file");

        GuestBuildException error = await Assert.ThrowsAsync<GuestBuildException>(() => WriteAsync(tree));

        Assert.Contains("/nonexistent/file", error.Message, StringComparison.Ordinal);
    }

    private static async Task<byte[]> WriteAsync(FileTree tree)
    {
        using MemoryStream stream = new();
        await CpioWriter.WriteAsync(tree, stream, TestContext.Current.CancellationToken);
        return stream.ToArray();
    }
}
