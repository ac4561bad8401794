using System.Buffers.Binary;
using CooperativeLinux.Monitor.Grants;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Block;

/// <summary>The guest's driver of one disk, as far as tests need it. Grant references are frame numbers.</summary>
internal sealed class BlockFrontend
{
    public const int Read = 0, Write = 1, WriteBarrier = 2, Flush = 3, Discard = 5, Indirect = 6;
    public const short Okay = 0, Error = -1, Unsupported = -2;

    private const uint FirstRingFrame = 16;
    private const int SlotSize = 112;

    private readonly TestMachine _machine;
    private readonly string _path;
    private readonly Dictionary<ulong, (int Operation, short Status)> _answers = [];
    private readonly uint _ringPages;
    private readonly int _slots;
    private uint _producer;
    private uint _consumer;
    private ulong _id;

    public BlockFrontend(TestMachine machine, int device, int order = 0)
    {
        _machine = machine;
        _path = $"device/vbd/{device}";
        _ringPages = 1u << order;
        Ring = machine.Pages([.. Enumerable.Range((int)FirstRingFrame, 1 << order).Select(frame => (ulong)frame)]);
        _slots = 1 << int.Log2((Ring.Length - 64) / SlotSize);
    }

    public GuestPages Ring { get; }

    public uint Port { get; private set; }

    public int Outstanding => (int)(_producer - _consumer);

    /// <summary>Grants the ring and says that it is there.</summary>
    public void Connect(Action? spoil = null)
    {
        _producer = _consumer = 0;
        Ring.CopyFrom(0, new byte[Ring.Length]);
        Ring.WriteIndex(4, 1);
        Ring.WriteIndex(12, 1);
        for (uint i = 0; i < _ringPages; i++)
        {
            _machine.Grant(FirstRingFrame + i, FirstRingFrame + i);
            _machine.GuestWrites($"{_path}/ring-ref{(_ringPages == 1 ? "" : i)}", $"{FirstRingFrame + i}");
        }

        if (_ringPages > 1)
        {
            _machine.GuestWrites($"{_path}/ring-page-order", $"{int.Log2((int)_ringPages)}");
        }

        _machine.Events.AllocateUnbound(0, out uint port);
        Port = port;
        _machine.GuestWrites($"{_path}/event-channel", $"{port}");
        _machine.GuestWrites($"{_path}/protocol", "x86_64-abi");
        spoil?.Invoke();
        _machine.GuestWrites($"{_path}/state", "3");
    }

    public static byte[] Segment(uint grant, int first = 0, int last = 7)
    {
        byte[] segment = new byte[8];
        BinaryPrimitives.WriteUInt32LittleEndian(segment, grant);
        segment[4] = (byte)first;
        segment[5] = (byte)last;
        return segment;
    }

    /// <summary>A request with its segments in the slot.</summary>
    public byte[] Direct(int operation, ulong sector, params byte[][] segments)
    {
        byte[] slot = new byte[SlotSize];
        slot[0] = (byte)operation;
        slot[1] = (byte)segments.Length;
        BinaryPrimitives.WriteUInt64LittleEndian(slot.AsSpan(8), _id++);
        BinaryPrimitives.WriteUInt64LittleEndian(slot.AsSpan(16), sector);
        segments.SelectMany(segment => segment).ToArray().CopyTo(slot, 24);
        return slot;
    }

    /// <summary>A request with its segments in a page of its own.</summary>
    public byte[] InPage(int operation, ulong sector, uint page, params byte[][] segments)
    {
        _machine.Grant(page, page);
        segments.SelectMany(segment => segment).ToArray().CopyTo(_machine.Memory.Frame(page));
        byte[] slot = Direct(Indirect, sector);
        slot[1] = (byte)operation;
        BinaryPrimitives.WriteUInt16LittleEndian(slot.AsSpan(2), (ushort)segments.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(slot.AsSpan(28), page);
        return slot;
    }

    public byte[] Discards(ulong sector, ulong sectors)
    {
        byte[] slot = Direct(Discard, sector);
        BinaryPrimitives.WriteUInt64LittleEndian(slot.AsSpan(24), sectors);
        return slot;
    }

    /// <summary>Puts a request into the ring and notifies if the backend wants it.</summary>
    public ulong Post(byte[] slot)
    {
        Assert.True(Outstanding < _slots);
        Ring.CopyFrom(64 + ((int)(_producer % (uint)_slots) * SlotSize), slot);
        uint old = _producer++;
        Ring.WriteIndex(0, _producer);
        Interlocked.MemoryBarrier();
        if (_producer - Ring.ReadIndex(4) < _producer - old)
        {
            _machine.Events.Send(Port);
        }

        return BinaryPrimitives.ReadUInt64LittleEndian(slot.AsSpan(8));
    }

    /// <summary>Waits for the answer to a request; events must come as they should.</summary>
    public (int Operation, short Status) WaitFor(ulong id)
    {
        (int, short) answer;
        while (!_answers.Remove(id, out answer))
        {
            if (!TakeAnswers())
            {
                Ring.WriteIndex(12, _consumer + 1);
                Interlocked.MemoryBarrier();
                Assert.True(TakeAnswers() || _machine.Notified.WaitOne(20_000), $"no answer to request {id}");
            }
        }

        return answer;
    }

    /// <summary>Posts and waits.</summary>
    public short Do(byte[] slot)
    {
        (int operation, short status) = WaitFor(Post(slot));
        Assert.Equal(slot[0] == Indirect ? slot[1] : slot[0], operation);
        return status;
    }

    private bool TakeAnswers()
    {
        uint end = Ring.ReadIndex(8);
        bool isAny = end != _consumer;
        byte[] answer = new byte[16];
        while (_consumer != end)
        {
            Assert.True(end - _consumer <= Outstanding, "more answers than requests");
            Ring.CopyTo(64 + ((int)(_consumer++ % (uint)_slots) * SlotSize), answer);
            _answers.Add(BinaryPrimitives.ReadUInt64LittleEndian(answer), (answer[8], BinaryPrimitives.ReadInt16LittleEndian(answer.AsSpan(10))));
        }

        return isAny;
    }
}
