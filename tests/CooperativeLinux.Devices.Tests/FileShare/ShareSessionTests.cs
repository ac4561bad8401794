using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

public sealed class ShareSessionTests : IDisposable
{
    private readonly ShareTestFolder _folder = new();
    private readonly ShareClient _client;

    public ShareSessionTests() => _client = new ShareClient(_folder.Path);

    public void Dispose()
    {
        _client.Dispose();
        _folder.AssertOutsideIsUntouched();
        _folder.Dispose();
    }

    [Fact]
    public void Version_Unknown_IsNotSpoken()
    {
        Assert.Equal(Errno.None, _client.Ask(MessageType.Version, new Fields().Add(9000u).Add("9P2000.u"), out byte[] answer));
        Assert.Equal(9000u, BinaryPrimitives.ReadUInt32LittleEndian(answer));
        Assert.Equal("unknown", Encoding.ASCII.GetString(answer.AsSpan(6)));
        Assert.Equal(Errno.EINVAL, _client.Ask(MessageType.Version, new Fields().Add(100u).Add("9P2000.L")));
    }

    [Fact]
    public void Version_Again_ForgetsTheFids()
    {
        uint fid = _client.Create("file");
        Assert.Equal(Errno.None, _client.Ask(MessageType.Version, new Fields().Add(8192u).Add("9P2000.L")));
        Assert.Equal(Errno.EBADF, _client.Clunk(fid));
        Assert.Equal(0, _client.Session.FidCount);
    }

    [Fact]
    public void Write_ThenRead_IsOnTheHost()
    {
        byte[] data = new byte[20_000];
        new Random(1).NextBytes(data);
        uint fid = _client.Create("data");

        Assert.Equal(Errno.None, _client.Write(fid, 5, data));

        Assert.Equal([.. new byte[5], .. data], File.ReadAllBytes(_folder.Of("data")));
        Assert.Equal(data[1000..], _client.Read(fid, 1005, 60_000));
        Assert.Empty(_client.Read(fid, 1 << 20, 10));
        Assert.Equal(Errno.None, _client.Ask(MessageType.Sync, new Fields().Add(fid).Add(1u)));
        Assert.Equal(Errno.None, _client.Ask(MessageType.Sync, new Fields().Add(fid)));
        Assert.Equal(20_005ul, _client.Stat(fid).Size);
        Assert.Equal(Errno.None, _client.Clunk(fid));
        Assert.Equal(Errno.EBADF, _client.Clunk(fid));
    }

    [Fact]
    public void Read_FileChangedOnTheHost_ShowsTheChange()
    {
        File.WriteAllText(_folder.Of("file"), "old");
        uint fid = _client.Find("file");
        Assert.Equal(Errno.None, _client.Open(fid, 0));
        Assert.Equal("old"u8.ToArray(), _client.Read(fid, 0, 100));

        File.AppendAllText(_folder.Of("file"), " and new");

        Assert.Equal("old and new"u8.ToArray(), _client.Read(fid, 0, 100));
        Assert.Equal(11ul, _client.Stat(fid).Size);
    }

    [Fact]
    public void Open_Flags_AreKept()
    {
        File.WriteAllText(_folder.Of("file"), "0123456789");
        uint reader = _client.Find("file");
        uint appender = _client.Find("file");
        uint truncater = _client.Find("file");
        Assert.Equal(Errno.None, _client.Open(reader, 0));
        Assert.Equal(Errno.EBADF, _client.Write(reader, 0, "x"u8));
        Assert.Equal(Errno.EBADF, _client.Open(reader, 0));
        Assert.Equal(Errno.None, _client.Open(appender, 1 | 0x400));
        Assert.Equal(Errno.None, _client.Write(appender, 0, "end"u8));
        Assert.Equal("0123456789end", File.ReadAllText(_folder.Of("file")));
        Assert.Equal(Errno.None, _client.Open(truncater, 2 | 0x200));
        Assert.Equal("", File.ReadAllText(_folder.Of("file")));
        Assert.Equal(Errno.ENOTDIR, _client.Open(_client.Find("file"), 0x10000));
    }

    [Fact]
    public void Create_NameTaken_OpensOrFails()
    {
        File.WriteAllText(_folder.Of("file"), "there");
        _client.Walk(_client.Root, out uint folder);
        Assert.Equal(Errno.EEXIST, _client.TryCreate(folder, "file", 2 | 0x80));
        Assert.Equal(Errno.None, _client.TryCreate(folder, "file"));
        Assert.Equal("there"u8.ToArray(), _client.Read(folder, 0, 100));
    }

    [Fact]
    public void Create_Permissions_AreExactWhateverTheUmask()
    {
        _client.Create("file", permissions: 0b110_110_110);
        Assert.Equal(Errno.None, _client.Ask(MessageType.MakeDirectory, new Fields().Add(_client.Root).Add("folder").Add(0b111_111_111u).Add(0u)));

        Assert.Equal(0b110_110_110u, _folder.PermissionsOf("file"));
        Assert.Equal(0b111_111_111u, _folder.PermissionsOf("folder"));
    }

    [Fact]
    public void Links_OfBothKinds_AreMade()
    {
        File.WriteAllText(_folder.Of("file"), "text");
        uint fid = _client.Find("file");

        Assert.Equal(Errno.None, _client.Ask(MessageType.Link, new Fields().Add(_client.Root).Add(fid).Add("second")));
        Assert.Equal(Errno.None, _client.Ask(MessageType.SymbolicLink, new Fields().Add(_client.Root).Add("link").Add("/etc/pässwd").Add(0u)));

        Assert.Equal("text", File.ReadAllText(_folder.Of("second")));
        Assert.Equal("/etc/pässwd", new FileInfo(_folder.Of("link")).LinkTarget);
        Assert.Equal(Errno.None, _client.Ask(MessageType.ReadLink, new Fields().Add(_client.Find("link")), out byte[] answer));
        Assert.Equal("/etc/pässwd", Encoding.UTF8.GetString(answer.AsSpan(2)));
        Assert.Equal(0xA1FFu, _client.Stat(_client.Find("link")).Mode);
        Assert.Equal(Errno.EEXIST, _client.Ask(MessageType.Link, new Fields().Add(_client.Root).Add(fid).Add("second")));
        Assert.Equal(Errno.EINVAL, _client.Ask(MessageType.ReadLink, new Fields().Add(fid)));
    }

    [Fact]
    public void Rename_FileWithAFid_FollowsTheFile()
    {
        Directory.CreateDirectory(_folder.Of("a"));
        Directory.CreateDirectory(_folder.Of("b"));
        File.WriteAllText(_folder.Of("a/file"), "text");
        uint fid = _client.Find("a/file");
        (uint a, uint b) = (_client.Find("a"), _client.Find("b"));

        Assert.Equal(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(a).Add("file").Add(b).Add("new")));
        Assert.Equal("text", File.ReadAllText(_folder.Of("b/new")));
        Assert.Equal(4ul, _client.Stat(fid).Size);
        Assert.Equal(Errno.None, _client.Ask(MessageType.Rename, new Fields().Add(fid).Add(a).Add("newer")));
        Assert.Equal("text", File.ReadAllText(_folder.Of("a/newer")));
        Assert.Equal(Errno.ENOENT, _client.Ask(MessageType.RenameAt, new Fields().Add(a).Add("file").Add(b).Add("new")));
        Assert.Equal(Errno.EINVAL, _client.Ask(MessageType.RenameAt, new Fields().Add(_client.Root).Add("a").Add(a).Add("inside")));
    }

    [Fact]
    public void Rename_FolderAbove_LeavesFidsBelow()
    {
        Directory.CreateDirectory(_folder.Of("a/b"));
        File.WriteAllText(_folder.Of("a/b/file"), "text");
        uint fid = _client.Find("a/b/file");

        Assert.Equal(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(_client.Root).Add("a").Add(_client.Root).Add("z")));

        Assert.Equal(Errno.None, _client.Open(fid, 0));
        Assert.Equal("text"u8.ToArray(), _client.Read(fid, 0, 10));
        Assert.Equal(Errno.None, _client.Walk(fid, out uint up, "..", "..", "..", "..", "z"));
        Assert.Equal(Errno.None, _client.Open(up, 0));
    }

    [Fact]
    public void Unlink_FilesAndFolders_WithTheRightErrors()
    {
        Directory.CreateDirectory(_folder.Of("full/sub"));
        File.WriteAllText(_folder.Of("file"), "");
        Assert.Equal(Errno.ENOTEMPTY, Unlink("full", 0x200));
        Assert.Equal(Errno.EISDIR, Unlink("full", 0));
        Assert.Equal(Errno.ENOTDIR, Unlink("file", 0x200));
        Assert.Equal(Errno.EINVAL, Unlink("file", 1));
        Assert.Equal(Errno.None, Unlink("file", 0));
        Assert.Equal(Errno.ENOENT, Unlink("file", 0));
        Assert.Equal(Errno.None, _client.Ask(MessageType.Remove, new Fields().Add(_client.Find("full/sub"))));
        Assert.Equal(Errno.None, Unlink("full", 0x200));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));

        Errno Unlink(string name, uint flags) => _client.Ask(MessageType.UnlinkAt, new Fields().Add(_client.Root).Add(name).Add(flags));
    }

    [Fact]
    public void Unlink_OpenFile_StaysUsable()
    {
        uint fid = _client.Create("file");
        Assert.Equal(Errno.None, _client.Ask(MessageType.UnlinkAt, new Fields().Add(_client.Root).Add("file").Add(0u)));
        Assert.Equal(Errno.None, _client.Write(fid, 0, "gone"u8));
        Assert.Equal("gone"u8.ToArray(), _client.Read(fid, 0, 10));
        Assert.Equal(4ul, _client.Stat(fid).Size);
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 8, size: 2));
        Assert.Equal(2ul, _client.Stat(fid).Size);
    }

    [Fact]
    public void SetAttributes_SizeModeTimes_ReachTheHost()
    {
        File.WriteAllText(_folder.Of("file"), "0123456789");
        uint fid = _client.Find("file");

        Assert.Equal(Errno.None, _client.SetAttributes(fid, 1 | 8 | 0x10 | 0x20 | 0x80 | 0x100, mode: 0b110_000_000, size: 4, seconds: 1_000_000_000));

        Assert.Equal("0123", File.ReadAllText(_folder.Of("file")));
        Assert.Equal(0b110_000_000u, _folder.PermissionsOf("file"));
        Assert.Equal(DateTimeOffset.FromUnixTimeMilliseconds(1_000_000_000_500).UtcDateTime, File.GetLastWriteTimeUtc(_folder.Of("file")));
        Assert.Equal(Errno.None, _client.SetAttributes(fid, 0x20));
        Assert.True(File.GetLastWriteTimeUtc(_folder.Of("file")).Year > 2020);
        Assert.Equal(Errno.EISDIR, _client.SetAttributes(_client.Root, 8, size: 4));
        Assert.Equal(Errno.EFBIG, _client.SetAttributes(fid, 8, size: ulong.MaxValue));
    }

    [Fact]
    public void ReadDirectory_LargeFolder_ShowsEachNameOnce()
    {
        string[] names = [.. Enumerable.Range(0, 3000).Select(i => $"a rather long name of a file, number {i}, ünïcödé 文")];
        foreach (string name in names)
        {
            File.WriteAllText(_folder.Of(name), "");
        }

        foreach (uint count in (uint[])[300, 8192, 60_000])
        {
            _client.Walk(_client.Root, out uint fid);
            Assert.Equal(Errno.None, _client.Open(fid, 0x10000));
            Assert.Equal([".", "..", .. names.Order(StringComparer.Ordinal)], _client.List(fid, count).Order(StringComparer.Ordinal));

            // Once more from the start, with a name more.
            File.WriteAllText(_folder.Of($"new {count}"), "");
            Assert.Contains($"new {count}", _client.List(fid, count));
            File.Delete(_folder.Of($"new {count}"));
        }

        _client.Walk(_client.Root, out uint small);
        _client.Open(small, 0);
        Assert.Equal(Errno.EINVAL, _client.Ask(MessageType.ReadDirectory, new Fields().Add(small).Add(0ul).Add(20u)));
    }

    [Fact]
    public void ExtendedAttributes_SetGetListRemove()
    {
        uint fid = _client.Create("file");
        byte[] value = new byte[3000];
        new Random(2).NextBytes(value);

        Errno error = SetAttribute("user.colour", value, 0);
        Assert.SkipWhen(error == Errno.EOPNOTSUPP, "The file system has no extended attributes.");
        Assert.Equal(Errno.None, error);

        Assert.Equal(value, GetAttribute("user.colour"));
        Assert.Equal(Errno.EEXIST, SetAttribute("user.colour", [1], 1));
        Assert.Equal(Errno.None, SetAttribute("user.empty", [], 0));
        Assert.Empty(GetAttribute("user.empty"));
        Assert.Equal("user.colour\0user.empty\0".Length, GetAttribute("").Length);
        Assert.Equal(Errno.None, SetAttribute("user.colour", [], 2));
        Assert.Equal("user.empty\0"u8.ToArray(), GetAttribute(""));
        Assert.Equal(Errno.ENODATA, WalkAttribute("user.colour", out _));
        Assert.Equal(Errno.EOPNOTSUPP, WalkAttribute("security.capability", out _));
        Assert.Equal(Errno.EOPNOTSUPP, SetAttribute("trusted.x", [1], 0));
        Assert.Equal(Errno.EOPNOTSUPP, SetAttribute("user.colinux.owner", "0:0:4000"u8.ToArray(), 0));
        Assert.Equal(Errno.E2BIG, _client.Ask(MessageType.CreateExtendedAttribute, new Fields().Add(fid).Add("user.x").Add(1ul << 40).Add(0u)));

        Errno SetAttribute(string name, byte[] bytes, uint flags)
        {
            _client.Walk(fid, out uint attribute);
            Errno result = _client.Ask(MessageType.CreateExtendedAttribute, new Fields().Add(attribute).Add(name).Add((ulong)bytes.Length).Add(flags));
            for (int position = 0; result == Errno.None && position < bytes.Length; position += 1000)
            {
                result = _client.Write(attribute, (ulong)position, bytes.AsSpan(position, Math.Min(1000, bytes.Length - position)));
            }

            Errno end = _client.Clunk(attribute);
            return result == Errno.None ? end : result;
        }

        Errno WalkAttribute(string name, out uint attribute)
        {
            attribute = _client.NewFid();
            return _client.Ask(MessageType.WalkExtendedAttribute, new Fields().Add(fid).Add(attribute).Add(name));
        }

        byte[] GetAttribute(string name)
        {
            Assert.Equal(Errno.None, WalkAttribute(name, out uint attribute));
            byte[] bytes = _client.Read(attribute, 0, 10_000);
            Assert.Equal(Errno.None, _client.Clunk(attribute));
            return bytes;
        }
    }

    [Fact]
    public void ExtendedAttributes_TooManyAtOnce_AreRefusedAndComeBack()
    {
        List<uint> fids = [];
        Errno error;
        do
        {
            fids.Add(_client.NewFid());
            error = _client.Ask(MessageType.WalkExtendedAttribute, new Fields().Add(_client.Root).Add(fids[^1]).Add(""));
        }
        while (error == Errno.None);

        Assert.Equal(Errno.ENFILE, error);
        Assert.Equal(Errno.None, _client.Clunk(fids[0]));
        Assert.Equal(Errno.None, _client.Ask(MessageType.WalkExtendedAttribute, new Fields().Add(_client.Root).Add(fids[0]).Add("")));
    }

    [Fact]
    public void StatFileSystem_IsTheHosts()
    {
        Assert.Equal(Errno.None, _client.Ask(MessageType.StatFileSystem, new Fields().Add(_client.Root), out byte[] answer));
        ulong blockSize = BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(4));
        ulong blocks = BinaryPrimitives.ReadUInt64LittleEndian(answer.AsSpan(8));
        Assert.Equal((ulong)new DriveInfo(_folder.Path).TotalSize, blockSize * blocks);
        Assert.Equal(255u, BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(56)));
    }

    [Fact]
    public void ReadOnly_EveryChange_IsRefused()
    {
        File.WriteAllText(_folder.Of("file"), "text");
        Directory.CreateDirectory(_folder.Of("folder"));
        using ShareClient client = new(_folder.Path, isReadOnly: true);
        uint root = client.Root;
        uint fid = client.Find("file");
        client.Walk(root, out uint clone);

        Assert.Equal(Errno.EROFS, client.Open(fid, 1));
        Assert.Equal(Errno.EROFS, client.Open(fid, 2));
        Assert.Equal(Errno.EROFS, client.Open(fid, 0x200));
        Assert.Equal(Errno.EROFS, client.TryCreate(clone, "new"));
        Assert.Equal(Errno.EROFS, client.TryCreate(clone, "file"));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.MakeDirectory, new Fields().Add(root).Add("new").Add(511u).Add(0u)));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.SymbolicLink, new Fields().Add(root).Add("new").Add("x").Add(0u)));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.MakeNode, new Fields().Add(root).Add("new").Add(0x1000u).Add(0ul).Add(0u)));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.Link, new Fields().Add(root).Add(fid).Add("new")));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.RenameAt, new Fields().Add(root).Add("file").Add(root).Add("new")));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.Rename, new Fields().Add(fid).Add(root).Add("new")));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.UnlinkAt, new Fields().Add(root).Add("file").Add(0u)));
        Assert.Equal(Errno.EROFS, client.SetAttributes(fid, 1, mode: 511));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.CreateExtendedAttribute, new Fields().Add(fid).Add("user.x").Add(1ul).Add(0u)));
        Assert.Equal(Errno.EROFS, client.Ask(MessageType.Remove, new Fields().Add(client.Find("folder"))));
        Assert.Equal(Errno.None, client.Open(fid, 0));
        Assert.Equal("text"u8.ToArray(), client.Read(fid, 0, 10));
        Assert.Equal(2, Directory.EnumerateFileSystemEntries(_folder.Path).Count());
    }

    [Fact]
    public void Flush_OfAnAnsweredRequest_IsAnsweredAtOnce()
    {
        Assert.Equal(Errno.None, _client.Ask(MessageType.Flush, new Fields().Add((ushort)4711)));
    }

    [Fact]
    public void Walk_PartOfThePath_TellsHowFar()
    {
        Directory.CreateDirectory(_folder.Of("a/b"));
        uint fid = _client.NewFid();
        Fields fields = new Fields().Add(_client.Root).Add(fid).Add((ushort)3).Add("a").Add("b").Add("c");
        Assert.Equal(Errno.None, _client.Ask(MessageType.Walk, fields, out byte[] answer));
        Assert.Equal(2, BinaryPrimitives.ReadUInt16LittleEndian(answer));
        Assert.Equal(Errno.EBADF, _client.Clunk(fid));
        Assert.Equal(Errno.ENOENT, _client.Walk(_client.Root, out _, "c"));
        File.WriteAllText(_folder.Of("file"), "");
        Assert.Equal(Errno.ENOTDIR, _client.Walk(_client.Find("file"), out _, "x"));
    }
}
