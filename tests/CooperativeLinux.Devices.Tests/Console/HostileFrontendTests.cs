using CooperativeLinux.Devices.Console;
using CooperativeLinux.Devices.Tests.Hostile;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Grants;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Console;

/// <summary>A guest that puts anything into the page and the nodes of a further console; see <see cref="HostileRun"/>.</summary>
public sealed class HostileFrontendTests(ITestOutputHelper output)
{
    private const string Front = "device/console/1";
    private const uint Frame = 30;
    private const int OutRing = 1024, OutSize = 2048, OutConsumer = 3080, OutProducer = 3084, InConsumer = 3072, InProducer = 3076;

    private static readonly string[] s_keys = ["ring-ref", "port", "type", "output"];

    [Fact]
    public void Frontend_DoesAnything_OnlyItsDeviceFails() => HostileRun.RepeatFailing(output, Round);

    private static int Round(Random random)
    {
        using HostileMachine hostile = new();
        TestMachine machine = hostile.Machine;
        MemorySink sink = new();
        using SecondaryConsole console = new(machine.Context, 1, sink);
        console.Start();
        bool isUnplugged = hostile.MayUnplug(console, random);
        GuestPages page = machine.Pages(Frame);
        uint port = Connect(hostile, page, () =>
        {
            if (random.Next(5) == 0)
            {
                hostile.SpoilNode(random, Front, s_keys);
            }
        });
        SpinWait.SpinUntil(() => console.State != XenbusState.InitWait, 500);
        for (int i = random.Next(1000); i > 0; i--)
        {
            Act(random, hostile, console, page, port);
        }

        if (!isUnplugged)
        {
            AssertWorksAnew(hostile, console, page, port, sink);
        }

        return hostile.Finish(console, line => line.StartsWith("The guest put an impossible index into its console ring", StringComparison.Ordinal));
    }

    private static uint Connect(HostileMachine hostile, GuestPages page, Action spoil)
    {
        page.CopyFrom(0, new byte[4096]);
        hostile.Machine.Grant(1, Frame);
        Assert.Equal(0, hostile.Machine.Events.AllocateUnbound(0, out uint port));
        hostile.Machine.GuestWrites($"{Front}/ring-ref", "1");
        hostile.Machine.GuestWrites($"{Front}/port", $"{port}");
        spoil();
        hostile.SetState(Front, (int)XenbusState.Initialised);
        return port;
    }

    private static void Act(Random random, HostileMachine hostile, SecondaryConsole console, GuestPages page, uint port)
    {
        byte[] bytes = new byte[random.Next(1, 300)];
        random.NextBytes(bytes);
        switch (random.Next(100))
        {
            case < 5:
                int[] indices = [InConsumer, InProducer, OutConsumer, OutProducer];
                page.WriteIndex(indices[random.Next(indices.Length)], random.Next(2) == 0 ? (uint)random.NextInt64(uint.MaxValue) : (uint)random.Next(4096));
                break;
            case < 15:
                page.CopyFrom(random.Next(4096 - bytes.Length), bytes);
                break;
            case < 25:
                Send(console, bytes);
                break;
            case < 30:
                hostile.SpoilGrant(random);
                break;
            case < 32 when random.Next(20) == 0:
                hostile.SpoilNode(random, Front, s_keys);
                break;
            case < 60:
                uint producer = page.ReadIndex(OutProducer);
                page.CopyToRing(OutRing, OutSize, producer, bytes);
                page.WriteIndex(OutProducer, producer + (uint)bytes.Length);
                break;
            default:
                hostile.Machine.Events.Send(port);
                break;
        }
    }

    /// <summary>The owner of the machine types.</summary>
    private static void Send(SecondaryConsole console, byte[] bytes)
    {
        using CancellationTokenSource patience = new(1);
        try
        {
            console.SendAsync(bytes, patience.Token).Wait(CancellationToken.None);
        }
        catch (AggregateException exception) when (exception.InnerException is IOException or OperationCanceledException)
        {
        }
    }

    private static void AssertWorksAnew(HostileMachine hostile, SecondaryConsole console, GuestPages page, uint port, MemorySink sink)
    {
        hostile.SetState(Front, (int)XenbusState.Closed);
        Assert.True(SpinWait.SpinUntil(() => console.State == XenbusState.Closed, TimeSpan.FromSeconds(20)));
        hostile.SetState(Front, (int)XenbusState.Initialising);
        Assert.True(SpinWait.SpinUntil(() => console.State == XenbusState.InitWait, TimeSpan.FromSeconds(20)));
        hostile.Machine.Events.Close(port);
        port = Connect(hostile, page, () => { });
        Assert.True(SpinWait.SpinUntil(() => console.State == XenbusState.Connected, TimeSpan.FromSeconds(20)));
        page.CopyToRing(OutRing, OutSize, 0, "alive"u8);
        page.WriteIndex(OutProducer, 5);
        hostile.Machine.Events.Send(port);
        Assert.True(SpinWait.SpinUntil(() => sink.Text.EndsWith("alive", StringComparison.Ordinal), TimeSpan.FromSeconds(20)), "the console does not work");
    }
}
