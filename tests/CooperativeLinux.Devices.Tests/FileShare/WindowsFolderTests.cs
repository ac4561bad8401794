using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>Shares of Windows hosts.</summary>
public sealed class WindowsFolderTests : IDisposable
{
    private const string Reason = "a Windows host";

    private readonly ShareTestFolder _folder = new();
    private readonly ShareClient _client;

    public WindowsFolderTests() => _client = new ShareClient(_folder.Path);

    public static bool IsWindows => OperatingSystem.IsWindows();

    public void Dispose()
    {
        _client.Dispose();
        _folder.AssertOutsideIsUntouched();
        _folder.Dispose();
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Files_MadeWrittenReadRenamedRemoved()
    {
        uint fid = _client.Create("file ü");
        byte[] data = new byte[50_000];
        new Random(3).NextBytes(data);
        Assert.Equal(Errno.None, _client.Write(fid, 10, data));
        Assert.Equal(data[..1000], _client.Read(fid, 10, 1000));
        Assert.Equal(50_010ul, _client.Stat(fid).Size);
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 8, size: 100));
        Assert.Equal(Errno.None, _client.Ask(MessageType.Sync, new Fields().Add(fid).Add(0u)));
        Assert.Equal(Errno.None, MakeFolder("folder"));
        uint folder = _client.Find("folder");
        Assert.Equal(Errno.None, Rename(_client.Root, "file ü", folder, "new"));
        Assert.Equal(100ul, _client.Stat(fid).Size);
        Assert.Equal(100, new FileInfo(_folder.Of("folder/new")).Length);
        Assert.Equal(Errno.EINVAL, Rename(_client.Root, "folder", folder, "x"));
        _client.Clunk(fid);
        Assert.Equal(Errno.None, Rename(_client.Root, "folder", _client.Root, "moved"));
        Assert.Equal(100ul, _client.Stat(_client.Find("moved/new")).Size);
        Assert.Equal(Errno.ENOTEMPTY, Remove(_client.Root, "moved", isFolder: true));
        Assert.Equal(Errno.EISDIR, Remove(_client.Root, "moved", isFolder: false));
        Assert.Equal(Errno.ENOTDIR, Remove(folder, "new", isFolder: true));
        Assert.Equal(Errno.None, Remove(folder, "new", isFolder: false));
        Assert.Equal(Errno.ENOENT, Remove(folder, "new", isFolder: false));
        Assert.Equal(Errno.None, Remove(_client.Root, "moved", isFolder: true));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Folder_Listed_ShowsEachNameOnce()
    {
        string[] names = [.. Enumerable.Range(0, 500).Select(i => $"file {i} 文")];
        Array.ForEach(names, name => File.WriteAllText(_folder.Of(name), ""));
        _client.Walk(_client.Root, out uint fid);
        Assert.Equal(Errno.None, _client.Open(fid, 0x10000));
        Assert.Equal([".", "..", .. names.Order(StringComparer.Ordinal)], _client.List(fid, 1000).Order(StringComparer.Ordinal));
        Assert.Equal(Errno.None, _client.Ask(MessageType.StatFileSystem, new Fields().Add(_client.Root), out byte[] answer));
        Assert.NotEqual(0u, BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(8)));
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Permissions_OnlyWritable_AndOwnersAreRoot()
    {
        Assert.SkipUnless(
            Environment.GetEnvironmentVariable("COLINUX_TEST_WINE_UID") is null or "0",
            "To change attributes Wine opens a file for writing, which only root may where they say read-only.");
        uint fid = _client.Create("file");
        Assert.Equal((0x81EDu, 0u, 0u, 0ul), _client.Stat(fid));
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 1, mode: 0b100_100_100));
        Assert.Equal(0x816Du, _client.Stat(fid).Mode);
        Assert.True(new FileInfo(_folder.Of("file")).IsReadOnly);
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 0x20 | 0x100, seconds: 1_000_000_000));
        Assert.Equal(DateTimeOffset.FromUnixTimeMilliseconds(1_000_000_000_500).UtcDateTime, File.GetLastWriteTimeUtc(_folder.Of("file")));
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 2, user: 0));
        Assert.Equal(Errno.EPERM, _client.SetAttributes(fid, 2, user: 5));
        _client.Clunk(fid);

        // As git makes its objects: read-only from the start, but written by the one who made them, renamed and removed.
        uint made = _client.Create("object", flags: 1, permissions: 0b100_100_100);
        Assert.Equal(Errno.None, _client.Write(made, 0, "x"u8));
        _client.Clunk(made);
        Assert.True(new FileInfo(_folder.Of("object")).IsReadOnly);
        Assert.Equal(Errno.None, Rename(_client.Root, "object", _client.Root, "file"));
        Assert.Equal(Errno.None, Remove(_client.Root, "file", isFolder: false));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Theory(SkipUnless = nameof(IsWindows), Skip = Reason)]
    [InlineData("CON")]
    [InlineData("nul.txt")]
    [InlineData("com1")]
    [InlineData("PhysicalDrive0")]
    [InlineData("a:b")]
    [InlineData("file::$DATA")]
    [InlineData(":stream")]
    [InlineData(@"a\b")]
    [InlineData(@"..\outside\secret")]
    [InlineData(@"\??\C:\windows")]
    [InlineData(@"\Device\Null")]
    [InlineData("C:")]
    [InlineData("what?")]
    [InlineData("dot.")]
    [InlineData("...")]
    [InlineData("blank ")]
    [InlineData("bell\a")]
    public void Names_WithAMeaningToWindows_ArePlainNames(string name)
    {
        File.WriteAllText(_folder.Of("file"), "plain");
        Assert.Equal(Errno.ENOENT, _client.Walk(_client.Root, out _, name));
        uint fid = _client.Create(name);
        Assert.Equal(Errno.None, _client.Write(fid, 0, "content"u8));
        _client.Clunk(fid);

        // A file of that very folder, under another name there, and nothing else.
        Assert.Equal(2, Directory.EnumerateFileSystemEntries(_folder.Path).Count());
        Assert.Equal("plain", File.ReadAllText(_folder.Of("file")));
        uint folder = _client.Find("");
        Assert.Equal(Errno.None, _client.Open(folder, 0));
        Assert.Contains(name, _client.List(folder));
        uint again = _client.Find(name);
        Assert.Equal(Errno.None, _client.Open(again, 0));
        Assert.Equal("content"u8.ToArray(), _client.Read(again, 0, 100));
        _client.Clunk(again);
        Assert.Equal(Errno.None, Rename(_client.Root, name, _client.Root, name + "2"));
        Assert.Equal(Errno.None, Remove(_client.Root, name + "2", isFolder: false));
        Assert.Equal(Errno.None, MakeFolder(name));
        Assert.Equal(Errno.None, _client.Walk(_client.Root, out uint inside, name));
        Assert.Equal(Errno.None, _client.TryCreate(inside, name));
        _client.Clunk(inside);
        Assert.Equal(Errno.None, Remove(_client.Find(name), name, isFolder: false));
        Assert.Equal(Errno.None, Remove(_client.Root, name, isFolder: true));
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Names_DifferingInCaseOnly_AreTheSame_AndTheCaseIsKept()
    {
        _client.Clunk(_client.Create("Name"));
        uint other = _client.Find("NAME");
        Assert.Equal(_client.Stat(_client.Find("Name")), _client.Stat(other));
        _client.Walk(_client.Root, out uint clone);
        Assert.Equal(Errno.EEXIST, _client.TryCreate(clone, "nAME", flags: 2 | 0x80));
        Assert.Equal(Errno.None, Rename(_client.Root, "Name", _client.Root, "NAME"));

        // Wine leaves the case as it was.
        Assert.Equal("NAME", Path.GetFileName(Assert.Single(Directory.EnumerateFileSystemEntries(_folder.Path))), ignoreCase: true);
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Open_Removed_StaysUsable()
    {
        uint fid = _client.Create("file");
        Assert.Equal(Errno.None, _client.Write(fid, 0, "still here"u8));
        Assert.Equal(Errno.None, Remove(_client.Root, "file", isFolder: false));
        Assert.Equal("still here"u8.ToArray(), _client.Read(fid, 0, 100));
        Assert.Equal(10ul, _client.Stat(fid).Size);
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Link_Hard_IsTheSameFile()
    {
        uint fid = _client.Create("one");
        Assert.Equal(Errno.None, _client.Write(fid, 0, "x"u8));
        _client.Clunk(fid);
        uint file = _client.Find("one");
        Assert.Equal(Errno.None, MakeFolder("folder"));
        Assert.Equal(Errno.None, _client.Ask(MessageType.Link, new Fields().Add(_client.Find("folder")).Add(file).Add("two")));
        Assert.Equal(Errno.EEXIST, _client.Ask(MessageType.Link, new Fields().Add(_client.Root).Add(file).Add("one")));
        Assert.Equal(Errno.EPERM, _client.Ask(MessageType.Link, new Fields().Add(_client.Root).Add(_client.Find("folder")).Add("x")));
        File.AppendAllText(_folder.Of("folder/two"), "y");
        Assert.Equal("xy", File.ReadAllText(_folder.Of("one")));

        // Renaming one to the other leaves both.
        Assert.Equal(Errno.None, Rename(_client.Root, "one", _client.Find("folder"), "two"));
        Assert.True(File.Exists(_folder.Of("one")) && File.Exists(_folder.Of("folder/two")));
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void File_ReplacedOnTheHost_IsStale_AndFoundAgain()
    {
        File.WriteAllText(_folder.Of("file"), "old");
        uint fid = _client.Find("file");
        File.WriteAllText(_folder.Of("new"), "newer");
        File.Move(_folder.Of("new"), _folder.Of("file"), overwrite: true);
        Assert.Equal(Errno.ESTALE, _client.Open(fid, 0));
        Assert.Equal(5ul, _client.Stat(_client.Find("file")).Size);
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Folders_DeeperThanAPathOfWindows_Work()
    {
        string name = new('d', 60);
        uint folder = _client.Find("");
        for (int i = 0; i < 12; i++)
        {
            Assert.Equal(Errno.None, _client.Ask(MessageType.MakeDirectory, new Fields().Add(folder).Add(name).Add(511u).Add(0u)));
            Assert.Equal(Errno.None, _client.Walk(folder, out folder, name));
        }

        Assert.Equal(Errno.None, _client.Walk(folder, out uint fid));
        Assert.Equal(Errno.None, _client.TryCreate(fid, "file"));
        Assert.Equal(Errno.None, _client.Write(fid, 0, "deep"u8));
        Assert.Equal(4ul, _client.Stat(fid).Size);
        _client.Clunk(fid);
        Assert.Equal(Errno.None, Remove(folder, "file", isFolder: false));
        Assert.Equal(Errno.None, _client.Walk(folder, out uint top, [.. Enumerable.Repeat("..", 16)]));
        Assert.Equal(Errno.None, _client.Open(top, 0));
        Assert.Equal([".", "..", name], _client.List(top).Order(StringComparer.Ordinal));
    }

    [Fact(SkipUnless = nameof(IsWindows), Skip = Reason)]
    public void Links_MadeByTheGuest_AreNeverFollowedByTheHost()
    {
        Errno made = _client.Ask(MessageType.SymbolicLink, new Fields().Add(_client.Root).Add("link").Add("../outside/secret").Add(0u));
        if (made == Errno.EPERM)
        {
            // No reparse points here, as in Wine and on FAT.
            Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
            return;
        }

        Assert.Equal(Errno.None, made);
        uint link = _client.Find("link");
        Assert.Equal(0xA1FFu, _client.Stat(link).Mode);
        Assert.Equal(Errno.ELOOP, _client.Open(link, 0));
        Assert.Equal(Errno.None, _client.Ask(MessageType.ReadLink, new Fields().Add(link), out byte[] answer));
        Assert.Equal("../outside/secret", Encoding.UTF8.GetString(answer.AsSpan(2)));
        Assert.Equal(Errno.None, Remove(_client.Root, "link", isFolder: false));
    }

    private Errno MakeFolder(string name) => _client.Ask(MessageType.MakeDirectory, new Fields().Add(_client.Root).Add(name).Add(511u).Add(0u));

    private Errno Rename(uint folder, string name, uint newFolder, string newName) =>
        _client.Ask(MessageType.RenameAt, new Fields().Add(folder).Add(name).Add(newFolder).Add(newName));

    private Errno Remove(uint folder, string name, bool isFolder) => _client.Ask(MessageType.UnlinkAt, new Fields().Add(folder).Add(name).Add(isFolder ? 0x200u : 0u));
}
