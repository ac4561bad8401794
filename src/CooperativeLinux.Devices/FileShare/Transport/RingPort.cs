using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Monitor.Events;

namespace CooperativeLinux.Devices.FileShare.Transport;

/// <summary>A ring with its event channel: whole messages in and out, by any thread.</summary>
internal sealed class RingPort(ShareRing ring) : IDisposable
{
    private readonly Lock _takeGate = new();
    private readonly Lock _putGate = new();
    private readonly AutoResetEvent _room = new(false);
    private volatile bool _isClosed;

    /// <summary>The channel; set before the first message.</summary>
    public HostChannel? Channel { get; set; }

    /// <summary>Bytes of each direction.</summary>
    public int Size => ring.Size;

    /// <summary>Whether there seems to be a message.</summary>
    public bool HasMessage => ring.Waiting != 0;

    /// <summary>Takes the next message.</summary>
    /// <param name="buffer">At least <see cref="Size"/> bytes.</param>
    /// <param name="length">The message's bytes, 0 if there is none yet, −1 if the guest breaks the protocol.</param>
    /// <returns>Whether there was a message or a breach.</returns>
    public bool TryTake(byte[] buffer, out int length)
    {
        bool isFullEnough;
        lock (_takeGate)
        {
            length = 0;
            int waiting = _isClosed ? 0 : ring.Waiting;
            if (waiting is >= 0 and < MessageWriter.HeaderSize)
            {
                return false;
            }

            uint size = uint.MaxValue;
            if (waiting > 0)
            {
                Span<byte> header = stackalloc byte[sizeof(uint)];
                ring.Peek(header);
                size = System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(header);
            }

            if (size is < MessageWriter.HeaderSize || size > (uint)ring.Size)
            {
                length = -1;
                return true;
            }

            if (size > (uint)waiting)
            {
                return false;
            }

            length = (int)size;
            ring.Take(buffer.AsSpan(0, length));

            // The guest may have changed the size between the two looks; what counts is how much was taken.
            System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(buffer, size);
            isFullEnough = waiting > ring.Size / 2;
        }

        if (isFullEnough)
        {
            // Somebody may wait for room to write.
            Channel?.Notify();
        }

        return true;
    }

    /// <summary>Gives the guest a message and notifies it; waits for room, until the port is closed.</summary>
    public void Put(ReadOnlySpan<byte> message)
    {
        lock (_putGate)
        {
            while (!_isClosed && ring.Room < message.Length)
            {
                _room.WaitOne(1000);
            }

            if (_isClosed)
            {
                return;
            }

            ring.Put(message);
        }

        Channel?.Notify();
    }

    /// <summary>The guest has notified: there may be room. Does not block.</summary>
    public void OnNotify() => _room.Set();

    /// <summary>No message passes any more; returns when none is on its way.</summary>
    public void Dispose()
    {
        _isClosed = true;
        _room.Set();
        lock (_putGate)
        {
        }

        lock (_takeGate)
        {
        }

        Channel?.Dispose();
    }
}
