using System.Text;
using CooperativeLinux.Devices.Tests.Hostile;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Store;
using CooperativeLinux.Monitor.Tests.Events;
using CooperativeLinux.Monitor.Tests.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Store;

/// <summary>A guest that puts anything into its store ring, and asks the store for anything; see <see cref="HostileRun"/>.</summary>
public sealed class HostileStoreTests : IDisposable
{
    private const ulong Frame = 20;
    private const int FirstIndex = 2048, Indices = 7, RequestRing = 0, RingSize = 1024, RequestProducer = 2052;

    private static readonly string[] s_pieces =
        ["data", "/", "device", "vbd", "\0", "a", "..", "//", "n1", "@x", "T", "F", "name", "\u00ff", "0", "/local/domain/1", "/local/domain/0", "/vm", "control/shutdown", new string('z', 500)];

    private readonly ITestOutputHelper _output;
    private readonly EventFixture _fixture = new();
    private readonly XenStore _store = new();

    public HostileStoreTests(ITestOutputHelper output)
    {
        _output = output;
        DomainNodes.Write(_store, new DomainDescription { Name = "test", Uuid = Guid.NewGuid(), VcpuCount = 1, MemoryKiB = 1024, MaxMemoryKiB = 2048 });
        _store.Write("/local/domain/0/backend/vbd/1/0/state", "2");
    }

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void Ring_WithAnythingInIt_OnlyItsOwnServiceEnds()
    {
        foreach (ulong neighbour in (ulong[])[Frame - 1, Frame + 1])
        {
            _fixture.Memory.Frame(neighbour).Fill(0x5a);
        }

        (int rounds, int failures) = HostileRun.Repeat(_output, random =>
        {
            LogLines lines = new();
            using StoreRing ring = new(_store, _fixture.Memory, Frame, _fixture.Channels, logger: lines);
            Assert.True(GuestPages.TryCreate(_fixture.Memory, [Frame], out GuestPages? page));
            for (int i = random.Next(60); i > 0; i--)
            {
                Act(random, page);
                _fixture.Channels.Send(ring.Port);
            }

            bool hasFailed = ring.HasFailed;
            ring.Dispose();
            _fixture.Channels.Close(ring.Port);
            Assert.InRange(lines.Lines.Count, 0, 1);
            return hasFailed ? 1 : 0;
        });

        Assert.InRange(failures, 1, rounds);
        AssertOthersAreUntouched();
        Assert.All((ulong[])[Frame - 1, Frame + 1], neighbour => Assert.False(_fixture.Memory.Frame(neighbour).ContainsAnyExcept((byte)0x5a)));
    }

    [Fact]
    public void Requests_OfAnyKind_AreAnsweredOnceEachAndChangeNothingOfOthers()
    {
        HostileRun.Repeat(_output, random =>
        {
            using GuestConnection guest = new(_store);
            for (int i = 0; i < 500; i++)
            {
                Assert.InRange(guest.Call((StoreMessageType)random.Next(26), Payload(random), (uint)random.Next(3)).Length, 0, 4096);
            }

            return 0;
        });
        AssertOthersAreUntouched();
    }

    private static void Act(Random random, GuestPages page)
    {
        switch (random.Next(20))
        {
            case 0:
                byte[] bytes = new byte[random.Next(1, 1000)];
                random.NextBytes(bytes);
                page.CopyFrom(random.Next(4096 - bytes.Length), bytes);
                break;
            case 1:
                page.WriteIndex(FirstIndex + (random.Next(Indices) * sizeof(uint)), random.Next(2) == 0 ? (uint)random.NextInt64(uint.MaxValue) : (uint)random.Next(1200));
                break;
            default:
                // A request as it should be, or almost.
                byte[] payload = Encoding.Latin1.GetBytes(Payload(random));
                byte[] message = [.. Number(random.Next(26)), .. Number(random.Next()), .. Number(random.Next(3)), .. Number(random.Next(50) == 0 ? random.Next() : payload.Length), .. payload];
                uint producer = page.ReadIndex(RequestProducer);
                page.CopyToRing(RequestRing, RingSize, producer, message.AsSpan(0, Math.Min(message.Length, RingSize)));
                page.WriteIndex(RequestProducer, producer + (uint)message.Length);
                break;
        }
    }

    private static byte[] Number(int value) => BitConverter.GetBytes(value);

    private static string Payload(Random random) => string.Concat(
        Enumerable.Range(0, random.Next(8)).Select(_ => s_pieces[random.Next(s_pieces.Length)] + (random.Next(3) == 0 ? "\0" : string.Empty)));

    private void AssertOthersAreUntouched()
    {
        Assert.Equal("test", _store.Read("/local/domain/1/name"));
        Assert.Equal("1024", _store.Read("/local/domain/1/memory/target"));
        Assert.Equal("2", _store.Read("/local/domain/0/backend/vbd/1/0/state"));
        using GuestConnection guest = new(_store);
        Assert.Equal("test", guest.Read("name"));
    }
}
