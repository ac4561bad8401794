using System.Runtime.InteropServices;
using System.Text;
using CooperativeLinux.Devices.FileShare.Protocol;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>Nothing leads out of the folder.</summary>
public sealed partial class EscapeTests : IDisposable
{
    private readonly ShareTestFolder _folder = new();
    private readonly ShareClient _client;

    public EscapeTests() => _client = new ShareClient(_folder.Path);

    public static TheoryData<byte[]> BadNames() => new((IEnumerable<byte[]>)
    [
        "../outside/secret"u8.ToArray(), "a/b"u8.ToArray(), "/etc/passwd"u8.ToArray(), "/"u8.ToArray(), "."u8.ToArray(), ".."u8.ToArray(), Array.Empty<byte>(),
        "a\0b"u8.ToArray(), new byte[1], new byte[300], Encoding.ASCII.GetBytes(new string('x', 256)), Encoding.ASCII.GetBytes(new string('x', 60_000)),
    ]);

    public void Dispose()
    {
        _client.Dispose();
        _folder.AssertOutsideIsUntouched();
        _folder.Dispose();
    }

    [Theory]
    [MemberData(nameof(BadNames))]
    public void Names_ThatAreNone_AreRefusedEverywhere(byte[] name)
    {
        File.WriteAllText(_folder.Of("file"), "");
        uint root = _client.Root;
        uint file = _client.Find("file");
        _client.Walk(root, out uint clone);
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.Create, new Fields().Add(clone).AddString(name).Add(2u).Add(511u).Add(0u)));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.MakeDirectory, new Fields().Add(root).AddString(name).Add(511u).Add(0u)));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.SymbolicLink, new Fields().Add(root).AddString(name).Add("x").Add(0u)));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.MakeNode, new Fields().Add(root).AddString(name).Add(0x1000u).Add(0ul).Add(0u)));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.Link, new Fields().Add(root).Add(file).AddString(name)));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(root).Add("file").Add(root).AddString(name)));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(root).AddString(name).Add(root).Add("new")));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.Rename, new Fields().Add(file).Add(root).AddString(name)));
        Assert.NotEqual(Errno.None, _client.Ask(MessageType.UnlinkAt, new Fields().Add(root).AddString(name).Add(0u)));
        if (!name.AsSpan().SequenceEqual(".."u8))
        {
            Assert.NotEqual(Errno.None, _client.Ask(MessageType.Walk, new Fields().Add(root).Add(_client.NewFid()).Add((ushort)1).AddString(name)));
        }

        Assert.Equal(["file"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public void Walk_UpFromTheRoot_StaysAtTheRoot()
    {
        File.WriteAllText(_folder.Of("mark"), "");
        Assert.Equal(Errno.None, _client.Walk(_client.Root, out uint fid, "..", "..", "..", "..", ".."));
        Assert.Equal(Errno.None, _client.Open(fid, 0x10000));
        Assert.Contains("mark", _client.List(fid));
        Assert.Equal(Errno.ENOENT, _client.Walk(_client.Root, out _, "..", "outside"));
    }

    [Fact]
    public void Walk_FolderMovedAwayByTheHost_DoesNotLeadUpOutside()
    {
        Directory.CreateDirectory(_folder.Of("a"));
        uint fid = _client.Find("a");
        Directory.Move(_folder.Of("a"), Path.Combine(_folder.Outside, "a"));

        Assert.NotEqual(Errno.None, _client.Walk(fid, out _, "..", "secret"));

        Directory.Delete(Path.Combine(_folder.Outside, "a"));
    }

    [Theory]
    [InlineData("absolute")]
    [InlineData("relative")]
    public void Links_LeadingOutside_AreNeverFollowed(string kind)
    {
        string outside = kind == "absolute" ? _folder.Outside : "../outside";
        File.CreateSymbolicLink(_folder.Of("folder"), outside);
        File.CreateSymbolicLink(_folder.Of("file"), outside + "/secret");
        File.CreateSymbolicLink(_folder.Of("new"), outside + "/new");
        uint folder = _client.Find("folder");
        uint file = _client.Find("file");
        _client.Walk(_client.Root, out uint clone);

        Assert.Equal(Errno.ENOTDIR, _client.Walk(folder, out _, "secret"));
        Assert.Equal(Errno.ELOOP, _client.Open(folder, 0));
        Assert.Equal(Errno.ELOOP, _client.Open(file, 0));
        Assert.Equal(Errno.ELOOP, _client.TryCreate(clone, "new"));
        Assert.Equal(Errno.ELOOP, _client.TryCreate(clone, "file", 2 | 0x200));
        Assert.Equal(Errno.ENOTDIR, _client.TryCreate(folder, "new"));
        Assert.Equal(Errno.ENOTDIR, _client.Ask(MessageType.MakeDirectory, new Fields().Add(folder).Add("new").Add(511u).Add(0u)));
        Assert.Equal(Errno.ENOTDIR, _client.Ask(MessageType.UnlinkAt, new Fields().Add(folder).Add("secret").Add(0u)));
        Assert.Equal(Errno.ENOTDIR, _client.Ask(MessageType.RenameAt, new Fields().Add(folder).Add("secret").Add(_client.Root).Add("got")));
        Assert.Equal(Errno.EINVAL, _client.SetAttributes(file, 8, size: 0));
        Assert.Equal(Errno.EOPNOTSUPP, _client.SetAttributes(file, 1, mode: 511));
        DateTime before = File.GetLastWriteTimeUtc(_folder.SecretPath);
        Assert.Equal(Errno.None, _client.SetAttributes(file, 0x20 | 0x100, seconds: 1000));
        Assert.Equal(before, File.GetLastWriteTimeUtc(_folder.SecretPath));

        // A second name of a link is a link.
        Assert.Equal(Errno.None, _client.Ask(MessageType.Link, new Fields().Add(_client.Root).Add(file).Add("hard")));
        Assert.NotNull(new FileInfo(_folder.Of("hard")).LinkTarget);
    }

    [Fact]
    public void Special_Files_AreShownAndNotOpened()
    {
        ShareTestFolder.Run("mkfifo", _folder.Of("fifo"));
        uint fid = _client.Find("fifo");
        Assert.Equal(0x1000u, _client.Stat(fid).Mode & 0xF000);

        // Opening it would wait for a writer.
        Assert.Equal(Errno.ENXIO, _client.Open(fid, 0));
        Assert.Equal(Errno.ENXIO, _client.Open(fid, 2));
        _client.Walk(_client.Root, out uint clone);
        Assert.Equal(Errno.ENXIO, _client.TryCreate(clone, "fifo"));
        Assert.Equal(Errno.EINVAL, _client.SetAttributes(fid, 8, size: 0));
        foreach (uint device in (uint[])[0x2000, 0x6000])
        {
            Assert.Equal(Errno.EPERM, _client.Ask(MessageType.MakeNode, new Fields().Add(_client.Root).Add("d").Add(device | 511).Add(1u).Add(3u).Add(0u)));
        }

        Assert.Equal(Errno.None, _client.Ask(MessageType.MakeNode, new Fields().Add(_client.Root).Add("mine").Add(0x1000u | 438).Add(0ul).Add(0u)));
        Assert.Equal("fifo", ShareTestFolder.Run("stat", "-c", "%F", _folder.Of("mine")).Trim());
    }

    [Fact]
    public void Link_SwappedInDuringOperations_IsNeverFollowed()
    {
        // The host side swaps a folder with a link to the outside all the time; whatever the guest does meanwhile stays inside.
        Directory.CreateDirectory(_folder.Of("real"));
        File.CreateSymbolicLink(_folder.Of("link"), _folder.Outside);
        File.WriteAllText(_folder.Of("real/secret"), "inside");
        bool isOver = false;
        int swaps = 0;
        Thread swapper = new(() =>
        {
            while (!Volatile.Read(ref isOver))
            {
                foreach ((string from, string to) in ((string, string)[])[("real", "x"), ("link", "real"), ("real", "link"), ("x", "real")])
                {
                    Assert.Equal(0, Rename(_folder.Of(from), _folder.Of(to)));
                }

                swaps++;
            }
        });
        swapper.Start();
        int reads = 0;
        long end = Environment.TickCount64 + 1500;
        while (Environment.TickCount64 < end)
        {
            if (_client.Walk(_client.Root, out uint fid, "real", "secret") == Errno.None)
            {
                if (_client.Open(fid, 0) == Errno.None)
                {
                    Assert.Equal("inside"u8.ToArray(), _client.Read(fid, 0, 100));
                    reads++;
                }

                _client.Clunk(fid);
            }

            if (_client.Walk(_client.Root, out uint folder, "real") == Errno.None)
            {
                _client.Walk(folder, out uint clone);
                if (_client.TryCreate(clone, "made") == Errno.None)
                {
                    _client.Write(clone, 0, "x"u8);
                }

                _client.Clunk(clone);
                _client.Ask(MessageType.MakeDirectory, new Fields().Add(folder).Add("dir").Add(511u).Add(0u));
                _client.Ask(MessageType.UnlinkAt, new Fields().Add(folder).Add("made").Add(0u));
                _client.Clunk(folder);
            }
        }

        Volatile.Write(ref isOver, true);
        swapper.Join();
        Assert.True(swaps > 10 && reads > 10, $"{swaps} swaps, {reads} reads");
    }

    [LibraryImport("libc", EntryPoint = "rename", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Rename(string from, string to);
}
