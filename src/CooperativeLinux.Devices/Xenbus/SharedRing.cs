using CooperativeLinux.Monitor.Grants;

namespace CooperativeLinux.Devices.Xenbus;

/// <summary>
/// The backend's side of a ring of fixed slots, in which each response takes the place of a request. Layout: u32 req_prod,
/// req_event, rsp_prod, rsp_event, slots from byte 64. One thread takes requests and one puts responses; if both are not
/// the same, the caller locks.
/// </summary>
public sealed class SharedRing
{
    private const int RequestProducer = 0, RequestEvent = 4, ResponseProducer = 8, ResponseEvent = 12, Slots = 64;

    private readonly GuestPages _pages;
    private readonly int _slotSize;
    private uint _requestConsumer;
    private uint _responseProducer;
    private uint _published;

    /// <param name="pages">The ring's pages.</param>
    /// <param name="slotSize">Bytes of a slot: the larger of request and response.</param>
    public SharedRing(GuestPages pages, int slotSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slotSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(slotSize, pages.Length - Slots);
        _pages = pages;
        _slotSize = slotSize;
        SlotCount = 1 << int.Log2((pages.Length - Slots) / slotSize);
        _published = pages.ReadIndex(ResponseProducer);
        _requestConsumer = _published;
        _responseProducer = _published;
    }

    /// <summary>Slots, a power of two.</summary>
    public int SlotCount { get; }

    /// <summary>Whether the guest announced more requests than there are slots. Nothing is taken from then on; close the device.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>Requests taken and not yet answered.</summary>
    public int Outstanding => (int)(_requestConsumer - _responseProducer);

    /// <summary>Requests that can be taken now.</summary>
    public int Available
    {
        get
        {
            uint waiting = _pages.ReadIndex(RequestProducer) - _requestConsumer;
            if (waiting > SlotCount - Outstanding)
            {
                IsBroken = true;
            }

            return IsBroken ? 0 : (int)waiting;
        }
    }

    /// <summary>Copies the next request out; validate the copy.</summary>
    /// <param name="request">At most a slot long.</param>
    public bool TryTake(Span<byte> request)
    {
        if (Available == 0)
        {
            return false;
        }

        _pages.CopyTo(SlotOffset(_requestConsumer), request);
        _requestConsumer++;
        return true;
    }

    /// <summary>Copies the start of the next request out and leaves it in the ring. The guest may still change it.</summary>
    /// <param name="start">At most a slot long.</param>
    public bool TryPeek(Span<byte> start)
    {
        if (Available == 0)
        {
            return false;
        }

        _pages.CopyTo(SlotOffset(_requestConsumer), start);
        return true;
    }

    /// <summary>Puts the next response, invisible to the guest until <see cref="Publish"/>.</summary>
    /// <param name="response">At most a slot long.</param>
    /// <exception cref="InvalidOperationException">Every request taken has its response.</exception>
    public void Put(ReadOnlySpan<byte> response)
    {
        if (Outstanding == 0)
        {
            throw new InvalidOperationException("There is no request to respond to.");
        }

        _pages.CopyFrom(SlotOffset(_responseProducer), response);
        _responseProducer++;
    }

    /// <summary>Shows the guest all responses put.</summary>
    /// <returns>Whether the guest wants to be notified.</returns>
    public bool Publish()
    {
        uint old = _published;
        _published = _responseProducer;
        _pages.WriteIndex(ResponseProducer, _published);

        // The guest sets its event index and then looks at our producer; we do it the other way round.
        Interlocked.MemoryBarrier();
        return _published - _pages.ReadIndex(ResponseEvent) < _published - old;
    }

    /// <summary>Asks for a notification at a coming request. Call before sleeping.</summary>
    /// <param name="count">Requests that are to wait then; at most <see cref="SlotCount"/>.</param>
    /// <returns>Whether as many wait already, so that there may be no notification.</returns>
    public bool RequestNotification(int count = 1)
    {
        if (Available >= count)
        {
            return true;
        }

        _pages.WriteIndex(RequestEvent, _requestConsumer + (uint)count);
        Interlocked.MemoryBarrier();
        return Available >= count;
    }

    private int SlotOffset(uint index) => Slots + ((int)(index & (uint)(SlotCount - 1)) * _slotSize);
}
