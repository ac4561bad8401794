using CooperativeLinux.Monitor.Store;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Store;

public sealed class StoreConnectionTests : IDisposable
{
    private const string Backend = "/local/domain/0/backend/vbd/1/51712";

    private readonly XenStore _store = new();
    private readonly GuestConnection _guest;

    public StoreConnectionTests()
    {
        DomainNodes.Write(_store, new DomainDescription { Name = "test", Uuid = Guid.NewGuid(), VcpuCount = 1, MemoryKiB = 1024, MaxMemoryKiB = 2048 });
        _store.Transact(batch =>
        {
            batch.MakeDirectory(Backend, StorePermissions.ReadableBy(1));
            batch.Write(Backend + "/state", "2");
            batch.MakeDirectory("/local/domain/1/device/vbd/51712", StorePermissions.Of(1, StoreAccess.None, (0, StoreAccess.Read)));
            batch.Write("/local/domain/1/device/vbd/51712/state", "1");
        });
        _guest = new GuestConnection(_store);
    }

    public void Dispose() => _guest.Dispose();

    [Fact]
    public void Read_RelativeAndAbsolute_GiveTheValueWithoutNul()
    {
        Assert.Equal("test", _guest.Read("name"));
        Assert.Equal("test", _guest.Read("/local/domain/1/name"));
        Assert.Equal("2", _guest.Read(Backend + "/state"));
    }

    [Fact]
    public void Write_OwnNodes_Works()
    {
        Assert.Equal("OK\0", _guest.Write("device/vbd/51712/state", "3"));
        Assert.Equal("OK\0", _guest.Write("device/vbd/51712/queue-0/ring-ref", "8"));
        Assert.Equal("OK\0", _guest.Write("data/report", "x"));
        Assert.Equal("OK\0", _guest.Write("error/device/vbd/51712/error", "no"));
        Assert.Equal("OK\0", _guest.Write("control/shutdown", string.Empty));
        Assert.Equal("OK\0", _guest.Write("control/feature-poweroff", "1"));
        Assert.Equal("8", _store.Read("/local/domain/1/device/vbd/51712/queue-0/ring-ref"));
        Assert.True(new DomainControl(_store).IsShutdownSupported);
        Assert.Equal("n1\0r0\0", _guest.Call(StoreMessageType.GetPermissions, "device/vbd/51712/queue-0/ring-ref\0"));
    }

    [Theory]
    [InlineData(Backend + "/state")]
    [InlineData(Backend + "/new")]
    [InlineData("/local/domain/0/name")]
    [InlineData("/local/domain/2/device")]
    [InlineData("/new")]
    [InlineData("name")]
    [InlineData("domid")]
    [InlineData("memory/static-max")]
    [InlineData("device/vbd/51713/state")]
    [InlineData("/")]
    public void Change_HostsNodes_IsRefused(string path)
    {
        Assert.Equal("!EACCES", _guest.Write(path, "x"));
        Assert.Equal("!EACCES", _guest.Call(StoreMessageType.MakeDirectory, path + "\0"));
        Assert.Equal("!EACCES", _guest.Call(StoreMessageType.SetPermissions, path + "\0b1\0"));
        string removed = _guest.Call(StoreMessageType.Remove, path + "\0");
        Assert.Contains(removed, new[] { "!EACCES", "!EINVAL" });
    }

    [Fact]
    public void Read_AnotherDomainsNode_IsRefused()
    {
        _store.Write("/local/domain/2/secret", "x", StorePermissions.OwnedBy(2));
        _store.Write("/hidden", "x", StorePermissions.HostOnly);

        Assert.Equal("!EACCES", _guest.Read("/local/domain/2/secret"));
        Assert.Equal("!EACCES", _guest.Read("/local/domain/2/secret/below"));
        Assert.Equal("!EACCES", _guest.Read("/hidden"));
    }

    [Fact]
    public void Read_Missing_ReturnsNoEntry()
    {
        Assert.Equal("!ENOENT", _guest.Read("device/vbd/51712/nothing"));
        Assert.Equal("!ENOENT", _guest.Read("nothing/at/all"));
        Assert.Equal("!ENOENT", _guest.Call(StoreMessageType.Directory, "nothing\0"));
    }

    [Fact]
    public void Directory_Names_AreEachTerminated()
    {
        Assert.Equal("vbd\0", _guest.Call(StoreMessageType.Directory, "device\0"));
        Assert.Equal(string.Empty, _guest.Call(StoreMessageType.Directory, "name\0"));
        Assert.Contains("local\0", _guest.Call(StoreMessageType.Directory, "/\0"));
    }

    [Fact]
    public void MakeDirectory_TwiceAndRemoveTwice_AreOk()
    {
        Assert.Equal("OK\0", _guest.Call(StoreMessageType.MakeDirectory, "data/a\0"));
        Assert.Equal("OK\0", _guest.Call(StoreMessageType.MakeDirectory, "data/a\0"));
        Assert.Equal("OK\0", _guest.Call(StoreMessageType.Remove, "data/a\0"));
        Assert.Equal("OK\0", _guest.Call(StoreMessageType.Remove, "data/a\0"));
        Assert.Equal("!ENOENT", _guest.Call(StoreMessageType.Remove, "data/a/b\0"));
    }

    [Fact]
    public void SetPermissions_OwnNode_KeepsTheOwner()
    {
        _guest.Write("data/a", "1");

        Assert.Equal("OK\0", _guest.Call(StoreMessageType.SetPermissions, "data/a\0r1\0b0\0"));
        Assert.Equal("r1\0b0\0", _guest.Call(StoreMessageType.GetPermissions, "data/a\0"));
        Assert.Equal("!EPERM", _guest.Call(StoreMessageType.SetPermissions, "data/a\0r0\0"));
        Assert.Equal("!ENOSPC", _guest.Call(StoreMessageType.SetPermissions, "data/a\0n1\0n2\0n3\0n4\0n5\0n6\0"));
        Assert.Equal("!EINVAL", _guest.Call(StoreMessageType.SetPermissions, "data/a\0q1\0"));
        Assert.Equal("!EINVAL", _guest.Call(StoreMessageType.SetPermissions, "data/a\0"));
    }

    [Theory]
    [InlineData(StoreMessageType.Read, "")]
    [InlineData(StoreMessageType.Read, "name")]
    [InlineData(StoreMessageType.Read, "name\0x\0")]
    [InlineData(StoreMessageType.Read, "na me\0")]
    [InlineData(StoreMessageType.Read, "\0")]
    [InlineData(StoreMessageType.Directory, "/local/\0")]
    [InlineData(StoreMessageType.Write, "data/x")]
    [InlineData(StoreMessageType.Write, "")]
    [InlineData(StoreMessageType.MakeDirectory, "data/x\0more")]
    [InlineData(StoreMessageType.Remove, "/\0")]
    [InlineData(StoreMessageType.Watch, "device\0")]
    [InlineData(StoreMessageType.Watch, "device\0token")]
    [InlineData(StoreMessageType.Watch, "de vice\0token\0")]
    [InlineData(StoreMessageType.Watch, "@bad path\0token\0")]
    [InlineData(StoreMessageType.TransactionEnd, "X\0")]
    [InlineData(StoreMessageType.GetDomainPath, "x\0")]
    [InlineData(StoreMessageType.IsDomainIntroduced, "-1\0")]
    public void Message_Malformed_ReturnsInvalidOrRefusal(StoreMessageType type, string payload)
    {
        string reply = _guest.Call(type, payload);

        Assert.Contains(reply, new[] { "!EINVAL", "!EACCES" });
    }

    [Theory]
    [InlineData(0u, "!EACCES")]
    [InlineData(8u, "!EACCES")]
    [InlineData(9u, "!EACCES")]
    [InlineData(18u, "!EACCES")]
    [InlineData(19u, "!EACCES")]
    [InlineData(15u, "!ENOSYS")]
    [InlineData(16u, "!ENOSYS")]
    [InlineData(20u, "!ENOSYS")]
    [InlineData(23u, "!ENOSYS")]
    [InlineData(uint.MaxValue, "!ENOSYS")]
    public void Message_PrivilegedOrUnknown_IsRefused(uint type, string expected)
    {
        Assert.Equal(expected, _guest.Call((StoreMessageType)type, "1\0"));
    }

    [Fact]
    public void Domain_Questions_AreAnswered()
    {
        Assert.Equal("/local/domain/7\0", _guest.Call(StoreMessageType.GetDomainPath, "7\0"));
        Assert.Equal("T\0", _guest.Call(StoreMessageType.IsDomainIntroduced, "1\0"));
        Assert.Equal("T\0", _guest.Call(StoreMessageType.IsDomainIntroduced, "0\0"));
        Assert.Equal("F\0", _guest.Call(StoreMessageType.IsDomainIntroduced, "7\0"));
    }

    [Fact]
    public void DirectoryPart_ManyNames_ComesInPieces()
    {
        for (int i = 0; i < 600; i++)
        {
            Assert.Equal("OK\0", _guest.Write($"data/node-number-{i:D4}", string.Empty));
        }

        Assert.Equal("!E2BIG", _guest.Call(StoreMessageType.Directory, "data\0"));
        List<string> names = [];
        int offset = 0;
        while (true)
        {
            string reply = _guest.Call(StoreMessageType.DirectoryPart, $"data\0{offset}\0");
            string part = reply[(reply.IndexOf('\0') + 1)..];
            bool isLast = part.EndsWith("\0\0", StringComparison.Ordinal) || part == "\0";
            names.AddRange(part.Split('\0', StringSplitOptions.RemoveEmptyEntries));
            offset += part.Length;
            if (isLast)
            {
                break;
            }
        }

        Assert.Equal(600, names.Distinct().Count());
    }

    [Fact]
    public void Transaction_Writes_AppearTogetherAtTheEnd()
    {
        using GuestConnection other = new(_store);
        uint transaction = _guest.Begin();
        Assert.NotEqual(0u, transaction);
        _guest.Write("data/a", "1", transaction);
        _guest.Write("data/b", "2", transaction);

        Assert.Equal("!ENOENT", other.Read("data/a"));
        Assert.Equal("1", _guest.Read("data/a", transaction));
        Assert.Equal("OK\0", _guest.Commit(transaction));
        Assert.Equal("2", other.Read("data/b"));
        Assert.Equal("!ENOENT", _guest.Commit(transaction));
        Assert.Equal("!ENOENT", _guest.Read("data/a", transaction));
    }

    [Fact]
    public void Transaction_Aborted_ChangesNothing()
    {
        uint transaction = _guest.Begin();
        _guest.Write("data/a", "1", transaction);

        Assert.Equal("OK\0", _guest.Call(StoreMessageType.TransactionEnd, "F\0", transaction));

        Assert.Equal("!ENOENT", _guest.Read("data/a"));
    }

    [Fact]
    public void Transaction_ReadValueChangedMeanwhile_Conflicts()
    {
        _guest.Write("data/a", "1");
        uint transaction = _guest.Begin();
        _guest.Read("data/a", transaction);
        _guest.Write("data/b", "from a", transaction);
        _store.Write("/local/domain/1/data/a", "changed");

        Assert.Equal("!EAGAIN", _guest.Commit(transaction));

        Assert.Equal("!ENOENT", _guest.Read("data/b"));
    }

    [Fact]
    public void Transaction_AbsentNodeCreatedMeanwhile_Conflicts()
    {
        uint transaction = _guest.Begin();
        Assert.Equal("!ENOENT", _guest.Read("control/feature-x/y", transaction));
        _guest.Write("data/b", "1", transaction);
        _store.Write("/local/domain/1/control/feature-x/y", "1");

        Assert.Equal("!EAGAIN", _guest.Commit(transaction));
    }

    [Fact]
    public void Transaction_UnrelatedChangeMeanwhile_Commits()
    {
        uint transaction = _guest.Begin();
        Assert.Equal("1", _guest.Read("device/vbd/51712/state", transaction));
        _guest.Write("device/vbd/51712/state", "3", transaction);
        _store.Write(Backend + "/sectors", "100");
        _store.Write("/local/domain/1/memory/target", "5");

        Assert.Equal("OK\0", _guest.Commit(transaction));

        Assert.Equal("3", _store.Read("/local/domain/1/device/vbd/51712/state"));
        Assert.Equal("100", _store.Read(Backend + "/sectors"));
    }

    [Fact]
    public void Transaction_ReadingOnly_NeverConflicts()
    {
        uint transaction = _guest.Begin();
        Assert.Equal("test", _guest.Read("name", transaction));
        _store.Write("/local/domain/1/name", "other");

        Assert.Equal("test", _guest.Read("name", transaction));
        Assert.Equal("OK\0", _guest.Commit(transaction));
    }

    [Fact]
    public void Transaction_Watches_FireAtCommitOnly()
    {
        _guest.Watch("data", "t");
        _guest.TakeEvents();
        uint transaction = _guest.Begin();
        _guest.Write("data/a", "1", transaction);
        Assert.Empty(_guest.TakeEvents());

        _guest.Commit(transaction);

        Assert.Equal(["data/a t"], _guest.TakeEvents());
    }

    [Fact]
    public void Transaction_Limits_AreKept()
    {
        for (int i = 0; i < _store.Limits.Transactions; i++)
        {
            _guest.Begin();
        }

        Assert.Equal("!ENOSPC", _guest.Call(StoreMessageType.TransactionStart, "\0"));
        Assert.Equal("!EBUSY", _guest.Call(StoreMessageType.TransactionStart, "\0", 1));
        string last = "OK\0";
        for (int i = 0; i < 2000 && last == "OK\0"; i++)
        {
            last = _guest.Write("data/same", $"{i}", 1);
        }

        Assert.Equal("!ENOSPC", last);
    }

    [Fact]
    public void Watch_Relative_ReportsRelativePathsAndOneAtOnce()
    {
        Assert.Equal("OK\0", _guest.Watch("device", "tok"));
        Assert.Equal(["device tok"], _guest.TakeEvents());

        _guest.Write("device/vbd/51712/state", "3");
        Assert.Equal(["device/vbd/51712/state tok"], _guest.TakeEvents());

        _store.Remove("/local/domain/1/device/vbd/51712");
        Assert.Equal(["device/vbd/51712 tok"], _guest.TakeEvents());
    }

    [Fact]
    public void Watch_Absolute_ReportsAbsolutePaths()
    {
        _guest.Watch(Backend + "/state", "B1");
        Assert.Equal([Backend + "/state B1"], _guest.TakeEvents());

        _store.Write(Backend + "/state", "4");
        Assert.Equal([Backend + "/state B1"], _guest.TakeEvents());

        _store.Remove(Backend);
        Assert.Equal([Backend + "/state B1"], _guest.TakeEvents());
    }

    [Fact]
    public void Watch_OwnAbsolutePath_StaysAbsolute()
    {
        _guest.Watch("/local/domain/1/data", "x");
        _guest.TakeEvents();

        _guest.Write("data/a", "1");

        Assert.Equal(["/local/domain/1/data/a x"], _guest.TakeEvents());
    }

    [Fact]
    public void Watch_MissingNodeAndSpecial_AreAcceptedWithAnEvent()
    {
        Assert.Equal("OK\0", _guest.Watch("no/such/node", "1"));
        Assert.Equal("OK\0", _guest.Watch("@releaseDomain", "2"));
        Assert.Equal(["no/such/node 1", "@releaseDomain 2"], _guest.TakeEvents());
    }

    [Fact]
    public void Watch_TwiceAndUnwatchTwice_AreRefused()
    {
        Assert.Equal("OK\0", _guest.Watch("data", "1"));
        Assert.Equal("!EEXIST", _guest.Watch("data", "1"));
        Assert.Equal("OK\0", _guest.Watch("data", "2"));
        Assert.Equal("OK\0", _guest.Call(StoreMessageType.Unwatch, "data\01\0"));
        Assert.Equal("!ENOENT", _guest.Call(StoreMessageType.Unwatch, "data\01\0"));
        _guest.TakeEvents();

        _guest.Write("data/a", "1");

        Assert.Equal(["data/a 2"], _guest.TakeEvents());
    }

    [Fact]
    public void Watch_NodesOfOthers_TellsNothing()
    {
        _store.Write("/local/domain/2", string.Empty, StorePermissions.OwnedBy(2));
        _guest.Watch("/local/domain/2", "spy");
        _guest.TakeEvents();

        _store.Write("/local/domain/2/secret", "x");

        Assert.Empty(_guest.TakeEvents());
    }

    [Fact]
    public void Watch_Limits_AreKept()
    {
        for (int i = 0; i < _store.Limits.Watches; i++)
        {
            Assert.Equal("OK\0", _guest.Watch("data", $"{i}"));
        }

        Assert.Equal("!E2BIG", _guest.Watch("data", "more"));
        Assert.Equal("!EINVAL", _guest.Watch("data", new string('t', 65)));
        Assert.Equal("OK\0", _guest.Call(StoreMessageType.ResetWatches, "\0"));
        Assert.Equal("OK\0", _guest.Watch("data", "more"));
    }

    [Fact]
    public void Watch_GuestDoesNotRead_QueueStaysBoundedAndEqualEventsAreOne()
    {
        _guest.Watch(Backend, "t");
        _guest.TakeEvents();
        for (int i = 0; i < 5000; i++)
        {
            _store.Write(Backend + "/state", $"{i}");
        }

        Assert.Equal([Backend + "/state t"], _guest.TakeEvents());
        for (int i = 0; i < 5000; i++)
        {
            _store.Write($"{Backend}/n{i}", "1");
        }

        Assert.Equal(_store.Limits.PendingEvents, _guest.TakeEvents().Length);
        Assert.Equal(5000 - _store.Limits.PendingEvents, _guest.Connection.LostEvents);
    }

    [Fact]
    public void Write_Limits_AreKept()
    {
        Assert.Equal("OK\0", _guest.Write("data/big", new string('x', 2048)));
        Assert.Equal("!ENOSPC", _guest.Write("data/big", new string('x', 2049)));
        int made = 0;
        while (made < 2000 && _guest.Write($"data/n{made}/m", "1") == "OK\0")
        {
            made++;
        }

        Assert.InRange(made, 400, 500);
        Assert.Equal("!ENOSPC", _guest.Write("data/one-more/m", "1"));
        Assert.Equal("OK\0", _guest.Call(StoreMessageType.Remove, "data/n0\0"));
        Assert.Equal("OK\0", _guest.Write("data/one-more/m", "1"));
    }

    [Fact]
    public void Write_DeepPath_CountsEveryNode()
    {
        string deep = "data" + string.Concat(Enumerable.Repeat("/a", 1000));

        Assert.Equal("!ENOSPC", _guest.Write(deep, "1"));
        Assert.Equal("OK\0", _guest.Write(deep[..1600], "1"));
    }

    [Fact]
    public void Remove_OwnFrontendDirectory_FreesItsNodes()
    {
        for (int round = 0; round < 30; round++)
        {
            for (int i = 0; i < 60; i++)
            {
                Assert.Equal("OK\0", _guest.Write($"data/x/{i}", "1"));
            }

            Assert.Equal("OK\0", _guest.Call(StoreMessageType.Remove, "data/x\0"));
        }
    }
}
