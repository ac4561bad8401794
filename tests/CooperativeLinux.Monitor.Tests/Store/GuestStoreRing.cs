using System.Buffers.Binary;
using System.Text;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Store;

namespace CooperativeLinux.Monitor.Tests.Store;

/// <summary>The guest's end of a store ring, as the kernel's driver works it: waits for the event channel, not for the index.</summary>
internal sealed class GuestStoreRing(GuestPages page, EventChannels events, uint port, WaitHandle notified)
{
    private const int Patience = 10_000;

    private readonly Queue<(uint Type, uint Id, byte[] Payload)> _received = new();

    public GuestPages Page => page;

    /// <summary>Sends bytes as room permits, notifying after each piece.</summary>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            uint producer = page.ReadIndex(2052);
            int room = 1024 - (int)(producer - page.ReadIndex(2048));
            if (room == 0)
            {
                Wait();
                continue;
            }

            int count = Math.Min(room, bytes.Length);
            page.CopyToRing(0, 1024, producer, bytes[..count]);
            page.WriteIndex(2052, producer + (uint)count);
            events.Send(port);
            bytes = bytes[count..];
        }
    }

    public void Send(StoreMessageType type, uint id, ReadOnlySpan<byte> payload, uint transaction = 0)
    {
        byte[] message = new byte[16 + payload.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)type);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), id);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), transaction);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(12), (uint)payload.Length);
        payload.CopyTo(message.AsSpan(16));
        Send(message);
    }

    /// <summary>Receives the next message of any kind.</summary>
    public (uint Type, uint Id, string Text) Receive()
    {
        byte[] header = ReceiveBytes(16);
        byte[] payload = ReceiveBytes((int)BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(12)));
        return (BinaryPrimitives.ReadUInt32LittleEndian(header), BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(4)), Encoding.Latin1.GetString(payload));
    }

    private byte[] ReceiveBytes(int length)
    {
        byte[] bytes = new byte[length];
        int done = 0;
        while (done < length)
        {
            uint consumer = page.ReadIndex(2056);
            int available = (int)(page.ReadIndex(2060) - consumer);
            if (available == 0)
            {
                Wait();
                continue;
            }

            int count = Math.Min(available, length - done);
            page.CopyFromRing(1024, 1024, consumer, bytes.AsSpan(done, count));
            page.WriteIndex(2056, consumer + (uint)count);
            events.Send(port);
            done += count;
        }

        return bytes;
    }

    private void Wait()
    {
        if (!notified.WaitOne(Patience))
        {
            throw new TimeoutException("The store did not notify.");
        }
    }
}
