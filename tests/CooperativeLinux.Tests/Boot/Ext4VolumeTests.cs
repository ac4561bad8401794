using System.Text;
using CooperativeLinux.Boot;
using CooperativeLinux.Devices.Block.Storage;

namespace CooperativeLinux.Tests.Boot;

public sealed class Ext4VolumeTests
{
    private const int MaxSize = 1 << 24;

    [Theory]
    [InlineData("1024")]
    [InlineData("4096")]
    public void ReadFile_EveryKindOfPath_FindsTheContent(string blockSize)
    {
        Assert.SkipUnless(Ext4Image.IsPossible, "needs e2fsprogs");
        byte[] large = new byte[5_000_001];
        Random.Shared.NextBytes(large);
        using Ext4Image image = new(
            folder =>
            {
                Directory.CreateDirectory(Path.Combine(folder, "boot", "deep"));
                File.WriteAllBytes(Path.Combine(folder, "boot", "vmlinuz-1"), large);
                File.WriteAllText(Path.Combine(folder, "empty"), "");
                File.CreateSymbolicLink(Path.Combine(folder, "vmlinuz"), "boot/vmlinuz-1");
                File.CreateSymbolicLink(Path.Combine(folder, "absolute"), "/boot/deep/../vmlinuz-1");
                File.CreateSymbolicLink(Path.Combine(folder, "long"), string.Concat(Enumerable.Repeat("boot/../", 20)) + "boot/vmlinuz-1");
                File.CreateSymbolicLink(Path.Combine(folder, "loop"), "loop");
                File.CreateSymbolicLink(Path.Combine(folder, "boot", "up"), "../../../vmlinuz");
                for (int i = 0; i < 500; i++)
                {
                    File.WriteAllText(Path.Combine(folder, "boot", "deep", $"a-file-with-a-long-name-{i}"), $"{i}");
                }
            },
            "-b", blockSize);
        using Disk disk = image.Open();
        using DiskReader reader = new(disk);
        Ext4Volume volume = new(reader);

        Assert.All((string[])["boot/vmlinuz-1", "/vmlinuz", "absolute", "long", "boot/up", "boot//./vmlinuz-1"], path => Assert.Equal(large, volume.ReadFile(path, MaxSize)!));
        Assert.Equal([], volume.ReadFile("empty", MaxSize)!);
        Assert.Equal("499", Encoding.UTF8.GetString(volume.ReadFile("boot/deep/a-file-with-a-long-name-499", MaxSize)!));
        Assert.All((string[])["nothing", "boot", "", "loop", "vmlinuz/x", "boot/vmlinuz-1/x"], path => Assert.Null(volume.ReadFile(path, MaxSize)));
        Assert.Contains("5000001 bytes", Assert.Throws<InvalidDataException>(() => volume.ReadFile("vmlinuz", 1000)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ReadFile_BlockInTheJournal_IsTheNewerOne()
    {
        Assert.SkipUnless(Ext4Image.IsPossible, "needs e2fsprogs");
        using Ext4Image image = new(folder =>
        {
            File.WriteAllText(Path.Combine(folder, "a"), "old");
            File.WriteAllText(Path.Combine(folder, "b"), "old");
            File.WriteAllText(Path.Combine(folder, "c"), "old");
        });
        (string a, string b, string c) = (image.BlockOf("/a"), image.BlockOf("/b"), image.BlockOf("/c"));

        // The last transaction is without effect, since it is not committed; b is revoked after it was written.
        image.Debug($"jo\njw -b {a} {image.BlockFile("1st"u8)}\njw -b {b} {image.BlockFile("1st"u8)}\njw -b {c} {image.BlockFile("2nd"u8)}\njw -r {b}\njw -b {c} -c {image.BlockFile("bad"u8)}\njc\n");
        using Disk disk = image.Open();
        using DiskReader reader = new(disk);
        Ext4Volume volume = new(reader);

        Assert.Equal("1st", Encoding.UTF8.GetString(volume.ReadFile("a", MaxSize)!));
        Assert.Equal("old", Encoding.UTF8.GetString(volume.ReadFile("b", MaxSize)!));
        Assert.Equal("2nd", Encoding.UTF8.GetString(volume.ReadFile("c", MaxSize)!));
    }

    [Fact]
    public void ReadFile_JournaledBlockThatLooksLikeAJournal_IsRestored()
    {
        Assert.SkipUnless(Ext4Image.IsPossible, "needs e2fsprogs");
        using Ext4Image image = new(folder => File.WriteAllText(Path.Combine(folder, "a"), "old-old"));

        image.Debug($"jo\njw -b {image.BlockOf("/a")} {image.BlockFile([0xC0, 0x3B, 0x39, 0x98, 1, 2, 3])}\njc\n");
        using Disk disk = image.Open();
        using DiskReader reader = new(disk);

        Assert.Equal([0xC0, 0x3B, 0x39, 0x98, 1, 2, 3], new Ext4Volume(reader).ReadFile("a", MaxSize)!);
    }

    [Fact]
    public void Constructor_NoFileSystem_SaysSo()
    {
        string path = Path.GetTempFileName();
        File.WriteAllBytes(path, new byte[1 << 20]);
        using (Disk disk = RawDisk.Open(path, isReadOnly: true))
        {
            using DiskReader reader = new(disk);
            Assert.Contains("no ext4", Assert.Throws<InvalidDataException>(() => new Ext4Volume(reader)).Message, StringComparison.Ordinal);
        }

        File.Delete(path);
    }

    [Fact]
    public void ReadFile_DamagedAnywhere_EndsWithAnAnswerOrAnError()
    {
        Assert.SkipUnless(Ext4Image.IsPossible, "needs e2fsprogs");
        int seed = Random.Shared.Next();
        Random random = new(seed);
        using Ext4Image image = new(folder =>
        {
            Directory.CreateDirectory(Path.Combine(folder, "boot"));
            File.WriteAllBytes(Path.Combine(folder, "boot", "vmlinuz-1"), [.. Enumerable.Repeat((byte)7, 100_000)]);
            File.CreateSymbolicLink(Path.Combine(folder, "vmlinuz"), "boot/vmlinuz-1");
        });
        image.Debug($"jo\njw -b {image.BlockOf("/boot/vmlinuz-1")} {image.BlockFile("x"u8)}\njc\n");
        byte[] good = File.ReadAllBytes(image.Path);

        // What is read at all: the first blocks, and what the journal and the files take.
        int[] used = [.. Enumerable.Range(0, good.Length).Where(i => good[i] != 0)];
        for (int round = 0; round < 60; round++)
        {
            byte[] bad = [.. good];
            for (int change = 0; change < 8; change++)
            {
                bad[used[random.Next(used.Length)]] = (byte)random.Next(256);
            }

            File.WriteAllBytes(image.Path, bad);
            using Disk disk = image.Open();
            using DiskReader reader = new(disk);
            Exception? failure = Record.Exception(() => new Ext4Volume(reader).ReadFile("vmlinuz", MaxSize));
            Assert.True(failure is null or InvalidDataException, $"seed {seed}, round {round}: {failure}");
        }
    }
}
