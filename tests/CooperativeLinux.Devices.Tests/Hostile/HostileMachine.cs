using System.Buffers.Binary;
using System.Diagnostics;
using CooperativeLinux.Devices.Console;
using CooperativeLinux.Devices.Tests.Console;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Grants;
using Microsoft.Extensions.Logging;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Hostile;

/// <summary>A machine with a hostile guest. Beside the device under test it has pages that were never granted, and a console, which must
/// both stay what they are.</summary>
internal sealed class HostileMachine : IDisposable
{
    /// <summary>Frames from this one on are never granted.</summary>
    public const uint FirstUntouchable = 226;

    private const uint ConsoleFrame = FirstUntouchable, FrameCount = 256, References = 512;

    private readonly MemorySink _sink = new();
    private readonly ConsoleBackend _console;
    private readonly GuestPages _consolePage;
    private int _connections = 1;
    private Task<bool>? _unplugged;

    public HostileMachine()
    {
        Machine = new TestMachine { Loggers = Loggers };
        _console = new ConsoleBackend(Machine.Memory, ConsoleFrame, Machine.Events, _sink);
        _consolePage = Machine.Pages(ConsoleFrame);
        for (uint frame = ConsoleFrame + 1; frame < FrameCount; frame++)
        {
            Machine.Memory.Frame(frame).Fill((byte)frame);
        }
    }

    public TestMachine Machine { get; }

    public CollectingLoggers Loggers { get; } = new();

    /// <summary>Writes one of the guest's nodes, with anything in it.</summary>
    /// <param name="front">The device's directory.</param>
    /// <param name="keys">Its keys.</param>
    public void SpoilNode(Random random, string front, string[] keys)
    {
        string[] values = ["", "0", "-1", "1", "2", "5", "511", "4294967295", "99999999999", "x", new string('9', 2000), "\0", "é"];
        switch (random.Next(10))
        {
            case 0:
                SetState(front, random.Next(9));
                break;
            case 1:
                Machine.GuestWrites($"{front}/state", values[random.Next(values.Length)]);
                break;
            case 2 when random.Next(5) == 0:
                Machine.Store.Transact(batch => batch.Remove($"/local/domain/1/{front}"));
                break;
            default:
                Machine.GuestWrites($"{front}/{keys[random.Next(keys.Length)]}", values[random.Next(values.Length)]);
                break;
        }
    }

    /// <summary>Sets the frontend's state.</summary>
    public void SetState(string front, int state)
    {
        // Whoever says that its driver begins anew may fail once more.
        _connections += state == (int)XenbusState.Initialising ? 1 : 0;
        Machine.GuestWrites($"{front}/state", $"{state}");
    }

    /// <summary>Gives a page, or takes it away, or makes the entry senseless.</summary>
    /// <param name="firstSpared">The first of some frames that are not given: a device that writes to them would soon end itself.</param>
    /// <param name="spared">Their number.</param>
    public void SpoilGrant(Random random, uint firstSpared = 0, uint spared = 0)
    {
        Span<byte> entry = Machine.Memory.Frame(SpecialFrames.GrantTable).Slice(random.Next((int)References) * 8, 8);
        uint frame = random.Next(8) == 0 ? uint.MaxValue - (uint)random.Next(1000) : (uint)random.Next((int)FirstUntouchable);
        if (frame - firstSpared < spared)
        {
            return;
        }

        BinaryPrimitives.WriteUInt32LittleEndian(entry, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], frame);
        BinaryPrimitives.WriteUInt32LittleEndian(entry, random.Next(4) == 0 ? (uint)random.Next() : 1);
    }

    /// <summary>Unplugs the device of every other guest, on another thread and at any moment of what the guest does meanwhile.</summary>
    /// <returns>Whether it does.</returns>
    public bool MayUnplug(BackendDevice device, Random random)
    {
        // Most guests are through with everything after a few milliseconds.
        TimeSpan moment = TimeSpan.FromMilliseconds(random.NextDouble() * random.Next(1, 20));
        TimeSpan patience = TimeSpan.FromMilliseconds(random.Next(4));
        if (random.Next(2) == 0)
        {
            return false;
        }

        long start = Stopwatch.GetTimestamp();
        _unplugged = Task.Run(() =>
        {
            SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(start) > moment);
            return device.RemoveAsync(patience);
        });
        return true;
    }

    /// <summary>Ends the device, when nothing else has, and checks that it failed with one line a connection at most, and that
    /// nothing else has changed.</summary>
    /// <param name="isOther">Whether a line is another that the guest may cause.</param>
    /// <returns>How often it failed.</returns>
    public int Finish(BackendDevice device, Func<string, bool>? isOther = null)
    {
        if (_unplugged is not null)
        {
            Assert.True(_unplugged.Wait(TimeSpan.FromSeconds(30)), "the device cannot be unplugged");
            Assert.Null(Machine.Store.Read(device.BackendPath));
        }

        device.Dispose();
        (LogLevel Level, string Text)[] lines = [.. Loggers.Lines.Where(line => line.Level >= LogLevel.Warning && isOther?.Invoke(line.Text) != true)];
        Assert.All(lines, line => Assert.StartsWith($"Device {device.Name} closed: ", line.Text, StringComparison.Ordinal));
        Assert.DoesNotContain(lines, line => line.Text.Contains("internal", StringComparison.Ordinal));
        Assert.True(lines.Length <= _connections, $"{lines.Length} lines for {_connections} connections");
        for (uint frame = ConsoleFrame + 1; frame < FrameCount; frame++)
        {
            Assert.False(Machine.Memory.Frame(frame).ContainsAnyExcept((byte)frame), $"frame {frame}, which was never granted, was written");
        }

        ReadOnlySpan<byte> text = "alive\n"u8;
        _consolePage.CopyToRing(1024, 2048, 0, text);
        _consolePage.WriteIndex(3084, (uint)text.Length);
        Machine.Events.Send(_console.Port);
        Assert.True(_sink.WaitFor("alive\n"), "the console beside it does not work");
        return lines.Length;
    }

    public void Dispose()
    {
        _console.Dispose();
        Machine.Dispose();
        Loggers.Dispose();
    }
}
