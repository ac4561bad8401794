using System.Buffers.Binary;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Devices.Network.Rings;

/// <summary>Puts frames for the guest into the pages of its receive ring. One thread at a time.</summary>
internal sealed class ReceiveRing
{
    private readonly SharedRing _ring;
    private readonly GrantTable _grants;
    private readonly bool _canChain;

    /// <param name="pages">The ring.</param>
    /// <param name="grants">The guest's grants.</param>
    /// <param name="canChain">Whether a frame may take several pages (feature-sg).</param>
    public ReceiveRing(GuestPages pages, GrantTable grants, bool canChain)
    {
        _ring = new SharedRing(pages, NetworkSlot.ReceiveSize);
        _grants = grants;
        _canChain = canChain;
    }

    /// <summary>Whether the guest announced more pages than there are slots.</summary>
    public bool IsBroken => _ring.IsBroken;

    /// <summary>Asks for a notification when any frame, the largest too, can be put.</summary>
    /// <returns>Whether it can be now.</returns>
    public bool RequestRoom() => _ring.RequestNotification(Math.Min(NetworkSlot.MaxDataSlots + 1, _ring.SlotCount));

    /// <summary>Shows the guest what was put.</summary>
    /// <returns>Whether it wants to be notified.</returns>
    public bool Publish() => _ring.Publish();

    /// <summary>Puts a frame.</summary>
    /// <returns>Whether the guest has pages enough; if not, nothing was done. A frame that the guest can never take counts as put.</returns>
    public bool TryPut(ReadOnlySpan<byte> headers, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> rest, FrameOffload offload)
    {
        int length = headers.Length + payload.Length + rest.Length;
        int pages = (length + GuestMemory.PageSize - 1) / GuestMemory.PageSize;
        bool hasExtra = offload.Segmentation != FrameSegmentation.None;
        if (pages > NetworkSlot.MaxDataSlots || (pages > 1 && !_canChain))
        {
            return true;
        }

        if (_ring.Available < pages + (hasExtra ? 1 : 0))
        {
            return false;
        }

        FrameParts parts = new(headers, payload, rest);
        for (int page = 0; page < pages; page++)
        {
            int size = Math.Min(GuestMemory.PageSize, length - (page * GuestMemory.PageSize));
            int flags = page + 1 < pages ? NetworkSlot.MoreData : 0;
            if (page == 0)
            {
                flags |= (hasExtra ? NetworkSlot.ExtraInfo : 0) | ChecksumFlags(offload.Checksum);
            }

            PutPage(ref parts, size, (ushort)flags);
            if (page == 0 && hasExtra)
            {
                PutExtra(offload);
            }
        }

        return true;
    }

    private static int ChecksumFlags(FrameChecksum checksum) => checksum switch
    {
        FrameChecksum.Partial => NetworkSlot.ReceiveDataValidated | NetworkSlot.ReceiveChecksumBlank,
        FrameChecksum.Verified => NetworkSlot.ReceiveDataValidated,
        _ => 0,
    };

    private void PutPage(ref FrameParts parts, int size, ushort flags)
    {
        Span<byte> slot = stackalloc byte[NetworkSlot.ReceiveSize];
        if (!_ring.TryTake(slot))
        {
            return;
        }

        bool isWritten = true;
        uint reference = BinaryPrimitives.ReadUInt32LittleEndian(slot[4..]);
        for (int offset = 0; offset < size;)
        {
            ReadOnlySpan<byte> part = parts.Take(size - offset);
            isWritten &= _grants.TryWrite(reference, offset, part);
            offset += part.Length;
        }

        // The id stays as the guest wrote it, in the slot's first two bytes.
        BinaryPrimitives.WriteUInt16LittleEndian(slot[2..], 0);
        BinaryPrimitives.WriteUInt16LittleEndian(slot[4..], flags);
        BinaryPrimitives.WriteInt16LittleEndian(slot[6..], isWritten ? (short)size : NetworkSlot.StatusError);
        _ring.Put(slot);
    }

    private void PutExtra(FrameOffload offload)
    {
        Span<byte> slot = stackalloc byte[NetworkSlot.ReceiveSize];
        if (_ring.TryTake(slot))
        {
            slot.Clear();
            slot[0] = NetworkSlot.ExtraGso;
            BinaryPrimitives.WriteUInt16LittleEndian(slot[2..], offload.SegmentSize);
            slot[4] = (byte)offload.Segmentation;
            _ring.Put(slot);
        }
    }

    /// <summary>Bytes in three places, taken one after the other.</summary>
    private ref struct FrameParts(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, ReadOnlySpan<byte> third)
    {
        private ReadOnlySpan<byte> _first = first;
        private ReadOnlySpan<byte> _second = second;
        private ReadOnlySpan<byte> _third = third;

        public ReadOnlySpan<byte> Take(int most)
        {
            if (_first.IsEmpty)
            {
                _first = _second;
                _second = _third;
                _third = default;
            }

            if (_first.IsEmpty)
            {
                _first = _second;
                _second = default;
            }

            ReadOnlySpan<byte> part = _first[..Math.Min(most, _first.Length)];
            _first = _first[part.Length..];
            return part;
        }
    }
}
