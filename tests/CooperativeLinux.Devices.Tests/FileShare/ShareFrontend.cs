using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Monitor.Grants;
using Xunit;

namespace CooperativeLinux.Devices.Tests.FileShare;

/// <summary>The guest's side of a share, as Linux's trans_xen has it: two rings in guest memory.</summary>
internal sealed class ShareFrontend : IDisposable
{
    public const string Front = "device/9pfs/0";
    public const string Back = "/local/domain/0/backend/9pfs/1/0";
    public const int Rings = 2, InConsumer = 0, InProducer = 4, OutConsumer = 64, OutProducer = 68, Order = 128, References = 132;

    private const uint FirstReference = 20, FirstFrame = 20;

    private readonly int _order;
    private readonly uint[] _ports = new uint[Rings];
    private readonly uint[] _outProduced = new uint[Rings];
    private readonly uint[] _inConsumed = new uint[Rings];

    public ShareFrontend(string folder, int order = 2, TestMachine? machine = null)
    {
        _order = order;
        Machine = machine ?? new TestMachine();
        Backend = new FileShareBackend(Machine.Context, 0, new FileShareOptions(folder, "test"));
        Backend.Start();
        uint next = FirstReference;
        for (int ring = 0; ring < Rings; ring++)
        {
            Machine.Grant(next, next);
            Interfaces[ring] = Machine.Pages(next);
            Machine.GuestWrites($"{Front}/ring-ref{ring}", $"{next}");
            ulong[] frames = [.. Enumerable.Range((int)next + 1, 1 << order).Select(frame => (ulong)frame)];
            Data[ring] = Machine.Pages(frames);
            Interfaces[ring].At<uint>(Order) = (uint)order;
            for (int i = 0; i < frames.Length; i++)
            {
                Machine.Grant((uint)frames[i], (uint)frames[i]);
                Interfaces[ring].At<uint>(References + (4 * i)) = (uint)frames[i];
            }

            next += 1u + (1u << order);
            Assert.Equal(0, Machine.Events.AllocateUnbound(0, out _ports[ring]));
            Machine.GuestWrites($"{Front}/event-channel-{ring}", $"{_ports[ring]}");
        }

        Machine.GuestWrites($"{Front}/version", "1");
        Machine.GuestWrites($"{Front}/num-rings", $"{Rings}");
    }

    public TestMachine Machine { get; }

    public FileShareBackend Backend { get; }

    public GuestPages[] Interfaces { get; } = new GuestPages[Rings];

    public GuestPages[] Data { get; } = new GuestPages[Rings];

    public int RingSize => 1 << (_order + 11);

    /// <summary>Tells the backend that the rings are there.</summary>
    public void Connect(string expected = "4")
    {
        Machine.GuestWrites($"{Front}/state", "3");
        AssertBackend(expected);
    }

    public void AssertBackend(string state) => Assert.True(
        SpinWait.SpinUntil(() => Machine.Store.Read(Back + "/state") == state, TimeSpan.FromSeconds(20)),
        $"the backend is in state {Machine.Store.Read(Back + "/state")}, not {state}: {Error}");

    public string? Error => Machine.Store.Read("/local/domain/0/error/backend/9pfs/0/error");

    public void Notify(int ring) => Machine.Events.Send(_ports[ring]);

    /// <summary>Puts a message into a ring, when it has room.</summary>
    public void Send(int ring, byte[] message)
    {
        Assert.True(SpinWait.SpinUntil(
            () => RingSize - (int)(_outProduced[ring] - Interfaces[ring].ReadIndex(OutConsumer)) >= message.Length, TimeSpan.FromSeconds(20)));
        Data[ring].CopyToRing(RingSize, RingSize, _outProduced[ring], message);
        _outProduced[ring] += (uint)message.Length;
        Interfaces[ring].WriteIndex(OutProducer, _outProduced[ring]);
        Notify(ring);
    }

    /// <summary>Puts anything into a ring, whether there is room or not, and perhaps without a word.</summary>
    public void Force(int ring, byte[] message, bool notify)
    {
        Data[ring].CopyToRing(RingSize, RingSize, _outProduced[ring], message);
        _outProduced[ring] += (uint)message.Length;
        Interfaces[ring].WriteIndex(OutProducer, _outProduced[ring]);
        if (notify)
        {
            Notify(ring);
        }
    }

    /// <summary>Room for messages in a ring.</summary>
    public int Room(int ring) => RingSize - (int)(_outProduced[ring] - Interfaces[ring].ReadIndex(OutConsumer));

    /// <summary>Takes all answers without looking at them.</summary>
    public void Skip(int ring)
    {
        _inConsumed[ring] = Interfaces[ring].ReadIndex(InProducer);
        Interfaces[ring].WriteIndex(InConsumer, _inConsumed[ring]);
        Notify(ring);
    }

    /// <summary>Takes the next answer out of a ring.</summary>
    public byte[] Receive(int ring)
    {
        Assert.True(SpinWait.SpinUntil(() => Interfaces[ring].ReadIndex(InProducer) != _inConsumed[ring], TimeSpan.FromSeconds(20)), $"no answer: {Error}");
        uint available = Interfaces[ring].ReadIndex(InProducer) - _inConsumed[ring];
        byte[] header = new byte[4];
        Data[ring].CopyFromRing(0, RingSize, _inConsumed[ring], header);
        byte[] message = new byte[BinaryPrimitives.ReadInt32LittleEndian(header)];
        Assert.InRange(message.Length, MessageWriter.HeaderSize, (int)available);
        Data[ring].CopyFromRing(0, RingSize, _inConsumed[ring], message);
        _inConsumed[ring] += (uint)message.Length;
        Interfaces[ring].WriteIndex(InConsumer, _inConsumed[ring]);
        Notify(ring);
        return message;
    }

    /// <summary>Opens the session and attaches fid 1.</summary>
    /// <returns>The message size agreed on.</returns>
    public int Attach()
    {
        Send(1, new Fields().Add(1 << 20).Add("9P2000.L").ToMessage(MessageType.Version, 65535));
        byte[] version = Receive(1);
        Send(0, new Fields().Add(1u).Add(uint.MaxValue).Add("").Add("").Add(0u).ToMessage(MessageType.Attach, 0));
        Assert.Equal((byte)MessageType.Attach + 1, Receive(0)[4]);
        return BinaryPrimitives.ReadInt32LittleEndian(version.AsSpan(7));
    }

    public void Dispose()
    {
        Backend.Dispose();
        Machine.Dispose();
    }
}
