using System.Text;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Devices.Tests.Hostile;
using CooperativeLinux.Monitor.Grants;
using Microsoft.Extensions.Logging;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Console;

/// <summary>A guest that puts anything into its console's page; see <see cref="HostileRun"/>.</summary>
public sealed class HostileGuestTests(ITestOutputHelper output)
{
    private const uint Frame = 30;
    private const int OutRing = 1024, OutSize = 2048, OutConsumer = 3080, OutProducer = 3084, InConsumer = 3072, InProducer = 3076;

    [Fact]
    public void Guest_DoesAnything_ConsoleGoesOn() => HostileRun.Repeat(output, Round);

    private static int Round(Random random)
    {
        using TestMachine machine = new();
        using CollectingLoggers loggers = new();
        MemorySink sink = new();
        using ConsoleBackend console = new(machine.Memory, Frame, machine.Events, sink, scrollbackSize: 4096, loggers);
        GuestPages page = machine.Pages(Frame);
        foreach (uint neighbour in (uint[])[Frame - 1, Frame + 1])
        {
            machine.Memory.Frame(neighbour).Fill(0x5a);
        }

        List<IDisposable> attached = [];
        int[] indices = [InConsumer, InProducer, OutConsumer, OutProducer];
        for (int i = random.Next(300); i > 0; i--)
        {
            switch (random.Next(6))
            {
                case 0:
                    page.WriteIndex(indices[random.Next(indices.Length)], random.Next(2) == 0 ? (uint)random.NextInt64(uint.MaxValue) : (uint)random.Next(4096));
                    break;
                case 1:
                    byte[] bytes = new byte[random.Next(1, 300)];
                    random.NextBytes(bytes);
                    page.CopyFrom(random.Next(4096 - bytes.Length), bytes);
                    break;
                case 2:
                    console.Send(new byte[random.Next(3000)]);
                    break;
                case 3 when attached.Count < 5:
                    attached.Add(console.Attach(new MemorySink(), random.Next(2) == 0));
                    break;
                case 4 when attached.Count > 0:
                    attached[0].Dispose();
                    attached.RemoveAt(0);
                    break;
                default:
                    machine.Events.Send(console.Port);
                    break;
            }
        }

        Assert.True(SpinWait.SpinUntil(() => IsAlive(machine, console, page, sink), TimeSpan.FromSeconds(20)), "the console does not go on");
        Assert.All((uint[])[Frame - 1, Frame + 1], neighbour => Assert.False(machine.Memory.Frame(neighbour).ContainsAnyExcept((byte)0x5a)));
        (LogLevel Level, string Text)[] lines = [.. loggers.Lines.Where(line => line.Level >= LogLevel.Warning)];
        Assert.True(lines.Length <= 1, string.Join('\n', lines));
        return lines.Length;
    }

    private static bool IsAlive(TestMachine machine, ConsoleBackend console, GuestPages page, MemorySink sink)
    {
        uint start = page.ReadIndex(OutConsumer);
        page.CopyToRing(OutRing, OutSize, start, Encoding.ASCII.GetBytes("alive"));
        page.WriteIndex(OutProducer, start + 5);
        machine.Events.Send(console.Port);
        return sink.Text.EndsWith("alive", StringComparison.Ordinal);
    }
}
