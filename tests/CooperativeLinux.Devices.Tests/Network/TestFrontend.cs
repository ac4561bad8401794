using Xunit;
using System.Buffers.Binary;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Devices.Tests.Network;

/// <summary>The guest's side of a network card, as netfront has it, in the memory of a test machine.</summary>
internal sealed class TestFrontend
{
    public const int SlotCount = 256;

    private const string Front = "device/vif/0";
    private const int FirstSlot = 64;
    private const uint TransmitFrame = 10, ReceiveFrame = 11, FirstReceivePage = 32, ReceivePages = 96, FirstTransmitPage = 140, TransmitPages = 64;

    private readonly TestMachine _machine;
    private readonly Queue<ushort> _freePages = new();
    private uint _transmitProducer;
    private uint _transmitConsumer;
    private uint _receiveProducer;
    private uint _receiveConsumer;
    private uint _nextTransmitPage;

    public TestFrontend(TestMachine machine)
    {
        _machine = machine;
        Transmit = machine.Pages(TransmitFrame);
        Receive = machine.Pages(ReceiveFrame);
        for (ushort i = 0; i < ReceivePages; i++)
        {
            _freePages.Enqueue(i);
        }
    }

    public GuestPages Transmit { get; }

    public GuestPages Receive { get; }

    public uint Port { get; private set; }

    /// <summary>Writes rings, channel and features, and connects.</summary>
    public void Connect(Action? spoil = null)
    {
        Transmit.CopyFrom(0, new byte[4096]);
        Receive.CopyFrom(0, new byte[4096]);
        foreach (GuestPages ring in (GuestPages[])[Transmit, Receive])
        {
            ring.WriteIndex(4, 1);
            ring.WriteIndex(12, 1);
        }

        _machine.Grant(1, TransmitFrame);
        _machine.Grant(2, ReceiveFrame);
        _machine.Events.AllocateUnbound(0, out uint port);
        Port = port;
        _machine.GuestWrites(Front + "/tx-ring-ref", "1");
        _machine.GuestWrites(Front + "/rx-ring-ref", "2");
        _machine.GuestWrites(Front + "/event-channel", $"{port}");
        foreach (string feature in (string[])["request-rx-copy", "feature-rx-notify", "feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6", "feature-ipv6-csum-offload"])
        {
            _machine.GuestWrites($"{Front}/{feature}", "1");
        }

        spoil?.Invoke();
        _machine.GuestWrites(Front + "/state", "4");
    }

    public void SetState(int state) => _machine.GuestWrites(Front + "/state", $"{state}");

    public void Write(string key, string value) => _machine.GuestWrites($"{Front}/{key}", value);

    public string? BackendState => _machine.Store.Read("/local/domain/0/backend/vif/1/0/state");

    /// <summary>Posts as many pages as there are.</summary>
    public void PostPages(int most = int.MaxValue)
    {
        Span<byte> slot = stackalloc byte[8];
        while (most-- > 0 && _freePages.TryDequeue(out ushort page))
        {
            uint reference = 100u + page;
            _machine.Grant(reference, FirstReceivePage + page);
            slot.Clear();
            BinaryPrimitives.WriteUInt16LittleEndian(slot, page);
            BinaryPrimitives.WriteUInt32LittleEndian(slot[4..], reference);
            Receive.CopyFrom(FirstSlot + ((int)(_receiveProducer++ % SlotCount) * 8), slot);
        }

        Receive.WriteIndex(0, _receiveProducer);
        Notify();
    }

    /// <summary>Takes a frame that has come, with the flags of its first page and the extra slot; null if there is none.</summary>
    public (byte[] Frame, ushort Flags, byte[]? Extra)? TakeFrame()
    {
        if (Receive.ReadIndex(8) == _receiveConsumer)
        {
            return null;
        }

        List<byte> frame = [];
        byte[]? extra = null;
        ushort first = 0;
        ushort flags;
        do
        {
            byte[] slot = TakeReceiveSlot();
            ushort id = BinaryPrimitives.ReadUInt16LittleEndian(slot);
            flags = BinaryPrimitives.ReadUInt16LittleEndian(slot.AsSpan(4));
            int size = BinaryPrimitives.ReadInt16LittleEndian(slot.AsSpan(6));
            Assert.InRange(size, 1, 4096);
            frame.AddRange(_machine.Memory.Frame(FirstReceivePage + id)[..size]);
            _freePages.Enqueue(id);
            first = frame.Count == size ? flags : first;
            if ((flags & 8) != 0)
            {
                extra = TakeReceiveSlot();
            }
        }
        while ((flags & 4) != 0);
        return ([.. frame], first, extra);
    }

    public (byte[] Frame, ushort Flags, byte[]? Extra) WaitForFrame()
    {
        (byte[], ushort, byte[]?)? frame = null;
        Assert.True(SpinWait.SpinUntil(() => (frame = TakeFrame()) is not null, TimeSpan.FromSeconds(10)), "no frame comes");
        return frame!.Value;
    }

    /// <summary>Sends a frame in pieces of a size.</summary>
    public void SendFrame(ReadOnlySpan<byte> frame, ushort flags = 0, byte[]? extra = null, int pieceSize = 4096)
    {
        int length = frame.Length;
        for (int offset = 0; offset < length; offset += pieceSize)
        {
            int size = Math.Min(pieceSize, length - offset);
            uint page = _nextTransmitPage++ % TransmitPages;
            uint reference = 300 + page;
            _machine.Grant(reference, FirstTransmitPage + page);
            int inPage = (4096 - size) / 2;
            frame.Slice(offset, size).CopyTo(_machine.Memory.Frame(FirstTransmitPage + page)[inPage..]);
            int own = offset + size < length ? 4 : 0;
            own |= offset == 0 ? flags | (extra is null ? 0 : 8) : 0;
            PutRequest(reference, (ushort)inPage, (ushort)own, (ushort)page, (ushort)(offset == 0 ? length : size));
            if (offset == 0 && extra is not null)
            {
                PutTransmitSlot(extra);
            }
        }

        PublishRequests();
    }

    public void PutRequest(uint reference, ushort offset, ushort flags, ushort id, ushort size)
    {
        Span<byte> slot = stackalloc byte[12];
        BinaryPrimitives.WriteUInt32LittleEndian(slot, reference);
        BinaryPrimitives.WriteUInt16LittleEndian(slot[4..], offset);
        BinaryPrimitives.WriteUInt16LittleEndian(slot[6..], flags);
        BinaryPrimitives.WriteUInt16LittleEndian(slot[8..], id);
        BinaryPrimitives.WriteUInt16LittleEndian(slot[10..], size);
        PutTransmitSlot(slot);
    }

    public void PutTransmitSlot(ReadOnlySpan<byte> slot) => Transmit.CopyFrom(FirstSlot + ((int)(_transmitProducer++ % SlotCount) * 12), slot);

    public void PublishRequests()
    {
        Transmit.WriteIndex(0, _transmitProducer);
        Notify();
    }

    /// <summary>Waits for the responses to all requests.</summary>
    /// <returns>Id and status of each.</returns>
    public List<(ushort Id, short Status)> WaitForResponses()
    {
        Assert.True(SpinWait.SpinUntil(() => Transmit.ReadIndex(8) == _transmitProducer, TimeSpan.FromSeconds(10)), "no responses come");
        List<(ushort, short)> responses = [];
        Span<byte> slot = stackalloc byte[4];
        while (_transmitConsumer != _transmitProducer)
        {
            Transmit.CopyTo(FirstSlot + ((int)(_transmitConsumer++ % SlotCount) * 12), slot);
            responses.Add((BinaryPrimitives.ReadUInt16LittleEndian(slot), BinaryPrimitives.ReadInt16LittleEndian(slot[2..])));
        }

        return responses;
    }

    public void Notify() => _machine.Events.Send(Port);

    private byte[] TakeReceiveSlot()
    {
        byte[] slot = new byte[8];
        Receive.CopyTo(FirstSlot + ((int)(_receiveConsumer++ % SlotCount) * 8), slot);
        return slot;
    }
}
