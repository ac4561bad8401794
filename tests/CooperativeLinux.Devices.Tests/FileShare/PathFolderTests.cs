using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Devices.FileShare.Files;
using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Devices.FileShare.Sys;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>The implementation for Windows hosts, on whatever host the tests run.</summary>
public sealed class PathFolderTests : IDisposable
{
    private readonly ShareTestFolder _folder = new();
    private readonly ShareClient _client;

    public PathFolderTests() => _client = new ShareClient(_folder.Path, host: new PathFolder(_folder.Path, hasWindowsNames: true));

    public void Dispose()
    {
        _client.Dispose();
        _folder.AssertOutsideIsUntouched();
        _folder.Dispose();
    }

    [Fact]
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
        Assert.Equal(Errno.None, _client.Ask(MessageType.MakeDirectory, new Fields().Add(_client.Root).Add("folder").Add(511u).Add(0u)));
        uint folder = _client.Find("folder");
        Assert.Equal(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(_client.Root).Add("file ü").Add(folder).Add("new")));
        Assert.Equal(100ul, _client.Stat(fid).Size);
        Assert.Equal(100, new FileInfo(_folder.Of("folder/new")).Length);
        Assert.Equal(Errno.EINVAL, _client.Ask(MessageType.RenameAt, new Fields().Add(_client.Root).Add("folder").Add(folder).Add("x")));
        Assert.Equal(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(_client.Root).Add("folder").Add(_client.Root).Add("moved")));
        Assert.Equal(100ul, _client.Stat(_client.Find("moved/new")).Size);
        Assert.Equal(Errno.ENOTEMPTY, _client.Ask(MessageType.UnlinkAt, new Fields().Add(_client.Root).Add("moved").Add(0x200u)));
        Assert.Equal(Errno.None, _client.Ask(MessageType.UnlinkAt, new Fields().Add(folder).Add("new").Add(0u)));
        Assert.Equal(Errno.None, _client.Ask(MessageType.UnlinkAt, new Fields().Add(_client.Root).Add("moved").Add(0x200u)));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
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

    [Fact]
    public void Permissions_OnlyWritable_AndOwnersAreRoot()
    {
        uint fid = _client.Create("file");
        Assert.Equal((0x81EDu, 0u, 0u, 0ul), _client.Stat(fid));
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 1, mode: 0b100_100_100));
        Assert.Equal(0x816Du, _client.Stat(fid).Mode);
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 0x20 | 0x100, seconds: 1_000_000_000));
        Assert.Equal(DateTimeOffset.FromUnixTimeMilliseconds(1_000_000_000_500).UtcDateTime, File.GetLastWriteTimeUtc(_folder.Of("file")));
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 2, user: 0));
        Assert.Equal(Errno.EPERM, _client.SetAttributes(fid, 2, user: 5));
    }

    [Theory]
    [InlineData("CON")]
    [InlineData("nul.txt")]
    [InlineData("com1")]
    [InlineData("a:b")]
    [InlineData("a\\b")]
    [InlineData("..\\outside")]
    [InlineData("what?")]
    [InlineData("dot.")]
    [InlineData("blank ")]
    [InlineData("bell\a")]
    public void Names_ThatWindowsCannotHave_AreRefused(string name)
    {
        _client.Walk(_client.Root, out uint clone);
        Assert.Equal(Errno.EINVAL, _client.TryCreate(clone, name));
        Assert.Equal(Errno.EINVAL, _client.Walk(_client.Root, out _, name));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Links_LeadingOutside_AreNeverFollowed()
    {
        File.CreateSymbolicLink(_folder.Of("folder"), _folder.Outside);
        File.CreateSymbolicLink(_folder.Of("file"), _folder.SecretPath);
        uint folder = _client.Find("folder");
        uint file = _client.Find("file");
        _client.Walk(_client.Root, out uint clone);
        Assert.Equal(0xA1FFu, _client.Stat(file).Mode);
        Assert.Equal(0xA1FFu, _client.Stat(folder).Mode);
        Assert.NotEqual(Errno.None, _client.Walk(folder, out _, "secret"));
        Assert.Equal(Errno.ELOOP, _client.Open(file, 0));
        Assert.Equal(Errno.ELOOP, _client.Open(folder, 0));
        Assert.Equal(Errno.ELOOP, _client.TryCreate(clone, "file"));
        Assert.NotEqual(Errno.None, _client.TryCreate(folder, "new"));
        Assert.NotEqual(Errno.None, _client.SetAttributes(file, 8, size: 0));
        Assert.Equal(Errno.None, _client.Ask(MessageType.ReadLink, new Fields().Add(file), out byte[] answer));
        Assert.Equal(_folder.SecretPath, Encoding.UTF8.GetString(answer.AsSpan(2)));
        Assert.Equal(Errno.None, _client.Ask(MessageType.SymbolicLink, new Fields().Add(_client.Root).Add("mine").Add("file").Add(0u)));
        Assert.Equal("file", new FileInfo(_folder.Of("mine")).LinkTarget);
        Assert.Equal(Errno.None, _client.Ask(MessageType.UnlinkAt, new Fields().Add(_client.Root).Add("folder").Add(0u)));
        Assert.Equal(Errno.None, _client.Walk(_client.Root, out uint up, "..", ".."));
        Assert.Equal(Errno.None, _client.Open(up, 0));
        Assert.DoesNotContain("outside", _client.List(up));
    }
}
