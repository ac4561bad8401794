using System.Buffers.Binary;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Devices.Network.Rings;

/// <summary>Takes the guest's frames from its transmit ring. One thread at a time.</summary>
internal sealed class TransmitRing
{
    private readonly SharedRing _ring;
    private readonly GrantTable _grants;
    private readonly byte[] _frame = new byte[NetworkLimits.MaxFrame];
    private readonly (ushort Id, bool IsExtra)[] _slots = new (ushort, bool)[NetworkSlot.MaxDataSlots + NetworkSlot.ExtraTypes];
    private int _slotCount;
    private string? _failure;

    public TransmitRing(GuestPages pages, GrantTable grants)
    {
        _ring = new SharedRing(pages, NetworkSlot.TransmitSize);
        _grants = grants;
    }

    /// <summary>Why the guest's side cannot be followed any more, or null. Nothing is taken from then on.</summary>
    public string? Failure => _failure ?? (_ring.IsBroken ? "an impossible index in the transmit ring" : null);

    /// <summary>Whether the next frame claims to have at most so many bytes; false if there is none.</summary>
    public bool IsNextAtMost(int length)
    {
        Span<byte> slot = stackalloc byte[NetworkSlot.TransmitSize];
        return Failure is null && _ring.TryPeek(slot) && Request.Read(slot).Size <= length;
    }

    /// <summary>Takes the next frame.</summary>
    /// <param name="frame">The frame; valid until the next call. Empty if the guest sent one that cannot be used.</param>
    /// <param name="offload">What the guest left undone.</param>
    /// <returns>False if there is none.</returns>
    public bool TryTake(out ReadOnlySpan<byte> frame, out FrameOffload offload)
    {
        frame = default;
        offload = default;
        if (Failure is not null || _ring.Available == 0)
        {
            return false;
        }

        _slotCount = 0;
        int length = Collect(ref offload);
        if (Failure is not null)
        {
            return false;
        }

        Respond(length > 0 ? NetworkSlot.StatusOkay : NetworkSlot.StatusError);
        frame = _frame.AsSpan(0, length);
        return true;
    }

    /// <summary>Shows the guest the responses.</summary>
    /// <returns>Whether it wants to be notified.</returns>
    public bool Publish() => _ring.Publish();

    /// <summary>See <see cref="SharedRing.RequestNotification"/>.</summary>
    public bool RequestNotification() => _ring.RequestNotification();

    /// <summary>Copies a frame together. Returns its length, or 0 if it cannot be used.</summary>
    private int Collect(ref FrameOffload offload)
    {
        Span<byte> slot = stackalloc byte[NetworkSlot.TransmitSize];
        if (!TakeSlot(slot))
        {
            return 0;
        }

        Request first = Request.Read(slot);
        AddSlot(first.Id, isExtra: false);
        bool isGood = (first.Flags & NetworkSlot.ExtraInfo) == 0 || TakeExtras(first, ref offload);
        if (offload.Segmentation == FrameSegmentation.None)
        {
            offload = new FrameOffload(ChecksumOf(first.Flags));
        }

        // The first request has the size of the whole frame; what is in its own page follows from the sizes of the others.
        int rest = 0;
        int count = 1;
        Span<Request> others = stackalloc Request[NetworkSlot.MaxDataSlots];
        for (ushort flags = first.Flags; Failure is null && (flags & NetworkSlot.MoreData) != 0;)
        {
            if (count == NetworkSlot.MaxDataSlots)
            {
                _failure = $"a frame of more than {NetworkSlot.MaxDataSlots} slots";
                break;
            }

            if (!TakeSlot(slot))
            {
                break;
            }

            Request request = Request.Read(slot);
            AddSlot(request.Id, isExtra: false);
            others[count++] = request;
            rest += request.Size;
            flags = request.Flags;
        }

        if (Failure is not null || !isGood || first.Size - rest < Protocols.Ethernet.HeaderSize)
        {
            return 0;
        }

        others[0] = first with { Size = (ushort)(first.Size - rest) };
        return Copy(others[..count]);
    }

    private int Copy(ReadOnlySpan<Request> requests)
    {
        int length = 0;
        foreach (Request request in requests)
        {
            if (request.Offset + request.Size > GuestMemory.PageSize
                || !_grants.TryRead(request.Reference, request.Offset, _frame.AsSpan(length, request.Size)))
            {
                return 0;
            }

            length += request.Size;
        }

        return length;
    }

    private bool TakeExtras(Request first, ref FrameOffload offload)
    {
        Span<byte> slot = stackalloc byte[NetworkSlot.TransmitSize];
        bool isGood = true;
        for (int count = 0; ; count++)
        {
            if (count == NetworkSlot.ExtraTypes)
            {
                _failure = "a chain of extra slots without end";
                return false;
            }

            if (!TakeSlot(slot))
            {
                return false;
            }

            AddSlot(0, isExtra: true);
            ushort segmentSize = BinaryPrimitives.ReadUInt16LittleEndian(slot[2..]);
            if (slot[0] != NetworkSlot.ExtraGso || (FrameSegmentation)slot[4] is not (FrameSegmentation.TcpV4 or FrameSegmentation.TcpV6) || segmentSize == 0)
            {
                isGood = false;
            }
            else
            {
                offload = new FrameOffload(FrameChecksum.Partial, (FrameSegmentation)slot[4], segmentSize);
            }

            if ((slot[1] & NetworkSlot.ExtraMore) == 0)
            {
                return isGood && (first.Flags & NetworkSlot.TransmitChecksumBlank) != 0;
            }
        }
    }

    private static FrameChecksum ChecksumOf(ushort flags) =>
        (flags & NetworkSlot.TransmitChecksumBlank) != 0 ? FrameChecksum.Partial
        : (flags & NetworkSlot.TransmitDataValidated) != 0 ? FrameChecksum.Verified
        : FrameChecksum.Unverified;

    private bool TakeSlot(Span<byte> slot)
    {
        if (_ring.TryTake(slot))
        {
            return true;
        }

        // Frames are announced whole.
        _failure ??= "a frame without its last slot";
        return false;
    }

    private void AddSlot(ushort id, bool isExtra) => _slots[_slotCount++] = (id, isExtra);

    private void Respond(short status)
    {
        Span<byte> response = stackalloc byte[4];
        foreach ((ushort id, bool isExtra) in _slots.AsSpan(0, _slotCount))
        {
            BinaryPrimitives.WriteUInt16LittleEndian(response, id);
            BinaryPrimitives.WriteInt16LittleEndian(response[2..], isExtra ? NetworkSlot.StatusNull : status);
            _ring.Put(response);
        }
    }

    private readonly record struct Request(uint Reference, ushort Offset, ushort Flags, ushort Id, ushort Size)
    {
        public static Request Read(ReadOnlySpan<byte> slot) => new(
            BinaryPrimitives.ReadUInt32LittleEndian(slot),
            BinaryPrimitives.ReadUInt16LittleEndian(slot[4..]),
            BinaryPrimitives.ReadUInt16LittleEndian(slot[6..]),
            BinaryPrimitives.ReadUInt16LittleEndian(slot[8..]),
            BinaryPrimitives.ReadUInt16LittleEndian(slot[10..]));
    }
}
