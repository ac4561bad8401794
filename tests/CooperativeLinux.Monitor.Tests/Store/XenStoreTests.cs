using System.Collections.Concurrent;
using CooperativeLinux.Monitor.Store;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Store;

public sealed class XenStoreTests
{
    private readonly XenStore _store = new();

    [Fact]
    public void Write_NewPath_CreatesParents()
    {
        _store.Write("/a/b/c", "1");

        Assert.Equal("1", _store.Read("/a/b/c"));
        Assert.Equal(string.Empty, _store.Read("/a/b"));
        Assert.Equal(["b"], _store.List("/a"));
        Assert.Null(_store.Read("/a/x"));
        Assert.Empty(_store.List("/nowhere"));
    }

    [Fact]
    public void Remove_Subtree_IsGone()
    {
        _store.Write("/a/b/c", "1");

        _store.Remove("/a/b");
        _store.Remove("/a/nothing");

        Assert.False(_store.Exists("/a/b/c"));
        Assert.True(_store.Exists("/a"));
    }

    [Fact]
    public void BadPath_Throws()
    {
        Assert.Throws<ArgumentException>(() => _store.Write("/a//b", "1"));
        Assert.Throws<ArgumentException>(() => _store.Read("relative"));
    }

    [Fact]
    public void Transact_Throwing_ChangesNothing()
    {
        _store.Write("/a", "old");

        Assert.Throws<InvalidDataException>(() => _store.Transact(batch =>
        {
            batch.Write("/a", "new");
            batch.Write("/b", "new");
            throw new InvalidDataException();
        }));

        Assert.Equal("old", _store.Read("/a"));
        Assert.False(_store.Exists("/b"));
    }

    [Fact]
    public void Transact_Reads_SeeItsOwnWrites()
    {
        string? seen = null;

        _store.Transact(batch =>
        {
            batch.Write("/a", "1");
            seen = batch.Read("/a");
        });

        Assert.Equal("1", seen);
    }

    [Fact]
    public void Watch_ChangesAtBelowAndAbove_AreTold()
    {
        using WatchRecorder recorder = new(_store, "/a/b");
        recorder.Expect("/a/b");
        _store.Write("/a/b", "1");
        recorder.Expect("/a/b");
        _store.Write("/a/b/c", "1");
        recorder.Expect("/a/b/c");
        _store.Write("/a/other", "1");
        _store.Write("/a", "1");
        _store.Remove("/a");
        recorder.Expect("/a/b");
        recorder.ExpectNothingMore();
    }

    [Fact]
    public void Watch_Disposed_IsToldNothing()
    {
        WatchRecorder recorder = new(_store, "/a");
        recorder.Expect("/a");

        recorder.Dispose();
        _store.Write("/a", "1");

        recorder.ExpectNothingMore();
    }

    [Fact]
    public void Watch_CallbackThrowsAndWrites_StoreGoesOn()
    {
        using ManualResetEventSlim done = new();
        using IDisposable bad = _store.Watch("/a", _ => throw new InvalidDataException("test"));
        using IDisposable good = _store.Watch("/a", _ => _store.Write("/b", "from the callback"));
        using IDisposable last = _store.Watch("/b", _ =>
        {
            if (_store.Exists("/b"))
            {
                done.Set();
            }
        });

        _store.Write("/a", "1");

        Assert.True(done.Wait(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Watch_ManyWriters_LastStateIsSeen()
    {
        string? seen = null;
        using IDisposable watch = _store.Watch("/n", _ => Volatile.Write(ref seen, _store.Read("/n")));

        Parallel.For(0, 2000, i => _store.Write("/n", $"{i}"));
        _store.Write("/n", "end");

        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref seen) == "end", TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void DomainNodes_Write_MakesTheStandardNodes()
    {
        DomainDescription description = new()
        {
            Name = "test",
            Uuid = Guid.Parse("01234567-89ab-cdef-0123-456789abcdef"),
            VcpuCount = 2,
            MemoryKiB = 262144,
            MaxMemoryKiB = 524288,
            Console = (0x1234, 2),
            Store = (0x1233, 1),
        };

        DomainNodes.Write(_store, description);

        Assert.Equal("test", _store.Read("/local/domain/1/name"));
        Assert.Equal("1", _store.Read("/local/domain/1/domid"));
        Assert.Equal("/vm/01234567-89ab-cdef-0123-456789abcdef", _store.Read("/local/domain/1/vm"));
        Assert.Equal("test", _store.Read("/vm/01234567-89ab-cdef-0123-456789abcdef/name"));
        Assert.Equal("online", _store.Read("/local/domain/1/cpu/1/availability"));
        Assert.False(_store.Exists("/local/domain/1/cpu/2"));
        Assert.Equal("262144", _store.Read("/local/domain/1/memory/target"));
        Assert.Equal("524288", _store.Read("/local/domain/1/memory/static-max"));
        Assert.Equal(string.Empty, _store.Read("/local/domain/1/control/shutdown"));
        Assert.Equal("2", _store.Read("/local/domain/1/console/port"));
        Assert.Equal("4660", _store.Read("/local/domain/1/console/ring-ref"));
    }

    [Fact]
    public void DomainNodes_Remove_LeavesNothingOfTheDomain()
    {
        DomainNodes.Write(_store, new DomainDescription { Name = "a", Uuid = Guid.NewGuid(), VcpuCount = 1, MemoryKiB = 1, MaxMemoryKiB = 1 });
        _store.Write("/local/domain/0/backend/vbd/1/51712/state", "4");
        _store.Write("/local/domain/0/backend/vbd/2/51712/state", "4");

        DomainNodes.Remove(_store, 1);

        Assert.False(_store.Exists("/local/domain/1"));
        Assert.Empty(_store.List("/vm"));
        Assert.Equal(["2"], _store.List("/local/domain/0/backend/vbd"));
    }

    [Fact]
    public void DomainControl_Requests_WriteTheNodes()
    {
        DomainNodes.Write(_store, new DomainDescription { Name = "a", Uuid = Guid.NewGuid(), VcpuCount = 2, MemoryKiB = 1000, MaxMemoryKiB = 2000 });
        DomainControl control = new(_store);
        Assert.False(control.IsShutdownSupported);

        control.RequestShutdown(ShutdownRequest.PowerOff);
        control.SendSysRq('s');
        control.SetMemoryTarget(2000);
        control.SetVcpuOnline(1, false);

        Assert.Equal("poweroff", _store.Read("/local/domain/1/control/shutdown"));
        Assert.True(control.IsShutdownPending);
        Assert.Equal("s", _store.Read("/local/domain/1/control/sysrq"));
        Assert.Equal(2000UL, control.MemoryTargetKiB);
        Assert.Equal("offline", _store.Read("/local/domain/1/cpu/1/availability"));
        Assert.Throws<ArgumentOutOfRangeException>(() => control.SetMemoryTarget(2001));
        Assert.Throws<ArgumentOutOfRangeException>(() => control.SendSysRq('\n'));
        Assert.Equal(["n1"], PermissionsOf("/local/domain/1/control/shutdown"));
    }

    private IEnumerable<string> PermissionsOf(string path)
    {
        StorePermissions? permissions = null;
        _store.Run(view =>
        {
            permissions = view.Find(path)!.Permissions;
            return StoreError.None;
        });
        return permissions!.Format();
    }

    /// <summary>Collects what a host watch is told.</summary>
    private sealed class WatchRecorder : IDisposable
    {
        private readonly BlockingCollection<string> _told = [];
        private readonly IDisposable _watch;

        public WatchRecorder(XenStore store, string path) => _watch = store.Watch(path, _told.Add);

        public void Expect(string path)
        {
            Assert.True(_told.TryTake(out string? told, TimeSpan.FromSeconds(10)), $"nothing was told, {path} expected");
            Assert.Equal(path, told);
        }

        public void ExpectNothingMore() => Assert.False(_told.TryTake(out _, TimeSpan.FromMilliseconds(50)));

        public void Dispose() => _watch.Dispose();
    }
}
