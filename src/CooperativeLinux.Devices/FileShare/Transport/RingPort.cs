using System.Buffers.Binary;
using CooperativeLinux.Devices.FileShare.Protocol;
using CooperativeLinux.Monitor.Events;

namespace CooperativeLinux.Devices.FileShare.Transport;

/// <summary>
/// A ring with its event channel: whole messages in and out, by any thread. Never waits: answers for which the guest has no room are kept,
/// and no further request is taken from the ring until they are gone.
/// </summary>
internal sealed class RingPort(ShareRing ring) : IDisposable
{
    /// <summary>Bytes of a message that say what it wants: header, fid[4] offset[8] count[4] of a read.</summary>
    public const int StartSize = MessageWriter.HeaderSize + 16;

    private readonly Lock _takeGate = new();
    private readonly Lock _putGate = new();
    private readonly Queue<byte[]> _kept = new();

    // Bytes of the first kept answer, 0 if there is none; to look at without the lock.
    private int _firstKept;

    // Bytes that waited when they were not a whole message, or −1: more must come before it is worth looking again.
    private int _incomplete = -1;
    private volatile bool _isClosed;

    /// <summary>The channel; set before the first message.</summary>
    public HostChannel? Channel { get; set; }

    /// <summary>Bytes of each direction.</summary>
    public int Size => ring.Size;

    /// <summary>Whether there seems to be something to do.</summary>
    public bool HasWork
    {
        get
        {
            int kept = Volatile.Read(ref _firstKept);
            int waiting = ring.Waiting;
            return !_isClosed && (kept > 0 ? ring.Room >= kept : waiting != 0 && waiting != Volatile.Read(ref _incomplete));
        }
    }

    /// <summary>Takes the next message, after giving the guest what was kept for it.</summary>
    /// <param name="buffer">At least <see cref="Size"/> bytes.</param>
    /// <param name="length">The message's bytes, 0 if there is none yet, −1 if the guest breaks the protocol.</param>
    /// <param name="isWanted">Looks at the first <see cref="StartSize"/> bytes, or fewer, of a message: one that is not wanted stays. Null
    /// for any.</param>
    /// <returns>Whether there was a message or a breach.</returns>
    public bool TryTake(byte[] buffer, out int length, Func<ReadOnlySpan<byte>, bool>? isWanted = null)
    {
        length = 0;
        if (Volatile.Read(ref _firstKept) > 0 && !TryPutKept())
        {
            return false;
        }

        bool isFullEnough;
        lock (_takeGate)
        {
            int waiting = _isClosed ? 0 : ring.Waiting;
            if (waiting is >= 0 and < MessageWriter.HeaderSize)
            {
                Volatile.Write(ref _incomplete, waiting);
                return false;
            }

            uint size = uint.MaxValue;
            if (waiting > 0)
            {
                Span<byte> header = stackalloc byte[sizeof(uint)];
                ring.Peek(header);
                size = BinaryPrimitives.ReadUInt32LittleEndian(header);
            }

            if (size is < MessageWriter.HeaderSize || size > (uint)ring.Size)
            {
                length = -1;
                return true;
            }

            if (size > (uint)waiting)
            {
                Volatile.Write(ref _incomplete, waiting);
                return false;
            }

            Volatile.Write(ref _incomplete, -1);
            if (isWanted is not null)
            {
                Span<byte> start = stackalloc byte[(int)Math.Min(size, StartSize)];
                ring.Peek(start);
                if (!isWanted(start))
                {
                    return false;
                }
            }

            length = (int)size;
            ring.Take(buffer.AsSpan(0, length));
            isFullEnough = waiting > ring.Size / 2;
        }

        if (isFullEnough)
        {
            // Somebody may wait for room to write.
            Channel?.Notify();
        }

        return true;
    }

    /// <summary>Gives the guest a message and notifies it, or keeps a copy until there is room.</summary>
    public void Put(ReadOnlySpan<byte> message)
    {
        lock (_putGate)
        {
            if (_isClosed)
            {
                return;
            }

            if (_kept.Count > 0 || ring.Room < message.Length)
            {
                _kept.Enqueue(message.ToArray());
                Volatile.Write(ref _firstKept, _kept.Peek().Length);
                return;
            }

            ring.Put(message);
        }

        Channel?.Notify();
    }

    /// <summary>No message passes any more; returns when none is on its way.</summary>
    public void Dispose()
    {
        lock (_putGate)
        {
            lock (_takeGate)
            {
                _isClosed = true;
            }
        }

        Channel?.Dispose();
    }

    /// <summary>Gives the guest what was kept.</summary>
    /// <returns>Whether all of it went.</returns>
    private bool TryPutKept()
    {
        bool isAnyPut = false;
        bool isAllPut;
        lock (_putGate)
        {
            while (!_isClosed && _kept.TryPeek(out byte[]? message) && ring.Room >= message.Length)
            {
                ring.Put(_kept.Dequeue());
                isAnyPut = true;
            }

            isAllPut = _kept.Count == 0;
            Volatile.Write(ref _firstKept, isAllPut ? 0 : _kept.Peek().Length);
        }

        if (isAnyPut)
        {
            Channel?.Notify();
        }

        return isAllPut;
    }
}
