using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Devices.FileShare.Sys;
using CooperativeLinux.Devices.FileShare.Transport;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>Files whose descriptors were closed to make room, and are found again.</summary>
public sealed class LinuxFolderTests : IDisposable
{
    private const int MaxHeld = 8;

    private readonly ShareTestFolder _folder = new();
    private readonly LinuxFolder _host;
    private readonly ShareClient _client;

    public LinuxFolderTests()
    {
        _host = LinuxFolder.Open(_folder.Path, MaxHeld);
        _client = new ShareClient(_folder.Path, host: _host);
    }

    public void Dispose()
    {
        _client.Dispose();
        Assert.Equal(0, _host.HeldCount);
        _folder.AssertOutsideIsUntouched();
        _folder.Dispose();
    }

    [Fact]
    public void Fids_ManyMoreThanDescriptors_AllWork()
    {
        uint[] fids = new uint[100];
        for (int i = 0; i < fids.Length; i++)
        {
            Directory.CreateDirectory(_folder.Of($"d{i}/e"));
            File.WriteAllText(_folder.Of($"d{i}/e/file"), $"text {i}");
            fids[i] = _client.Find($"d{i}/e/file");
            Assert.InRange(_host.HeldCount, 1, MaxHeld);
        }

        for (int i = 0; i < fids.Length; i++)
        {
            Assert.Equal((ulong)$"text {i}".Length, _client.Stat(fids[i]).Size);
            Assert.Equal(Errno.None, _client.Open(fids[i], 0));
            Assert.Equal($"text {i}", System.Text.Encoding.ASCII.GetString(_client.Read(fids[i], 0, 100)));
            Assert.InRange(_host.HeldCount, 1, MaxHeld);
        }
    }

    [Fact]
    public void Closed_ThenRenamedByTheGuest_IsFoundUnderTheNewName()
    {
        Directory.CreateDirectory(_folder.Of("a/b"));
        File.WriteAllText(_folder.Of("a/b/file"), "text");
        uint fid = _client.Find("a/b/file");
        uint folder = _client.Find("a/b");
        MakeRoom();

        Assert.Equal(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(folder).Add("file").Add(_client.Root).Add("moved")));
        Assert.Equal(Errno.None, _client.Ask(MessageType.RenameAt, new Fields().Add(_client.Root).Add("a").Add(_client.Root).Add("z")));
        MakeRoom();

        Assert.Equal(4ul, _client.Stat(fid).Size);
        Assert.Equal(Errno.None, _client.Walk(folder, out _));
        Assert.Equal(Errno.None, _client.Open(folder, 0));
        Assert.Equal([".", ".."], _client.List(folder).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Closed_ThenReplacedByTheHost_IsStaleAndNotTheOther()
    {
        File.WriteAllText(_folder.Of("file"), "mine");
        uint fid = _client.Find("file");
        MakeRoom();
        File.WriteAllText(_folder.Of("other"), "not mine");
        File.Move(_folder.Of("other"), _folder.Of("file"), overwrite: true);

        Assert.Equal(Errno.ESTALE, _client.Open(fid, 0));
        Assert.Equal(Errno.ESTALE, _client.Ask(MessageType.Remove, new Fields().Add(fid)));
        Assert.Equal("not mine", File.ReadAllText(_folder.Of("file")));
    }

    [Fact]
    public void Closed_FolderReplacedByALinkOutside_IsStale()
    {
        Directory.CreateDirectory(_folder.Of("folder"));
        File.WriteAllText(_folder.Of("folder/secret"), "inside");
        uint fid = _client.Find("folder/secret");
        MakeRoom();
        Directory.Move(_folder.Of("folder"), _folder.Of("gone"));
        File.CreateSymbolicLink(_folder.Of("folder"), _folder.Outside);

        Assert.NotEqual(Errno.None, _client.Open(fid, 0));
        Assert.NotEqual(Errno.None, _client.SetAttributes(fid, 8, size: 0));
    }

    [Fact]
    public void Folders_TooDeep_AreRefused()
    {
        uint fid = _client.Root;
        int depth = 0;
        Errno error;
        while ((error = _client.Ask(MessageType.MakeDirectory, new Fields().Add(fid).Add("d").Add(511u).Add(0u))) == Errno.None)
        {
            Assert.Equal(Errno.None, _client.Walk(fid, out uint next, "d"));
            if (fid != _client.Root)
            {
                _client.Clunk(fid);
            }

            fid = next;
            depth++;
        }

        Assert.Equal(LinuxFolder.MaxDepth, depth);
        Assert.Equal(Errno.ENAMETOOLONG, error);
        Assert.Equal(Errno.None, _client.Open(fid, 0x10000));
        Assert.Equal(2, _client.List(fid).Count);

        // Found again from the top, by a thread with the stack of those that serve.
        MakeRoom();
        _client.Walk(fid, out uint clone);
        MakeRoom();
        uint mode = 0;
        Thread thread = new(() => mode = _client.Stat(clone).Mode, RequestWorkers.StackSize);
        thread.Start();
        thread.Join();
        Assert.Equal(0x41FFu, mode);
    }

    private void MakeRoom()
    {
        for (int i = 0; i < 2 * MaxHeld; i++)
        {
            Directory.CreateDirectory(_folder.Of($"room{i}"));
            _client.Find($"room{i}");
        }
    }
}
