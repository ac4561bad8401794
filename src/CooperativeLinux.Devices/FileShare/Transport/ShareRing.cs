using CooperativeLinux.Monitor.Grants;

namespace CooperativeLinux.Devices.FileShare.Transport;

/// <summary>
/// One ring of a share: an interface page with indices and grant references, and data pages whose first half carries bytes to the guest
/// ("in") and whose second half carries bytes from it ("out"). Layout: Xen, public/io/9pfs.h and ring.h (XEN_FLEX_RING). One thread at
/// a time takes, one at a time puts.
/// </summary>
internal sealed class ShareRing
{
    /// <summary>Largest order of the number of data pages that Linux offers (XEN_9PFS_RING_ORDER).</summary>
    public const int MaxOrder = 9;

    private const int InConsumer = 0, InProducer = 4, OutConsumer = 64, OutProducer = 68, Order = 128, References = 132;

    private readonly GuestPages _interface;
    private readonly GuestPages _data;

    // Our own indices are kept here: what the guest writes over them in the page does not matter.
    private uint _outConsumer;
    private uint _inProducer;

    private ShareRing(GuestPages interfacePage, GuestPages data)
    {
        _interface = interfacePage;
        _data = data;
        _outConsumer = interfacePage.ReadIndex(OutConsumer);
        _inProducer = interfacePage.ReadIndex(InProducer);
    }

    /// <summary>Bytes of each direction.</summary>
    public int Size => _data.Length / 2;

    /// <summary>Bytes from the guest that wait, whatever the guest claims: at most <see cref="Size"/>, or −1 if its index is impossible.</summary>
    public int Waiting
    {
        get
        {
            uint waiting = _interface.ReadIndex(OutProducer) - _outConsumer;
            return waiting <= (uint)Size ? (int)waiting : -1;
        }
    }

    /// <summary>Room for bytes to the guest; none while the guest's index is impossible.</summary>
    public int Room
    {
        get
        {
            uint used = _inProducer - _interface.ReadIndex(InConsumer);
            return used <= (uint)Size ? Size - (int)used : 0;
        }
    }

    /// <summary>Maps the data pages that an interface page names.</summary>
    /// <returns>Null if the order is not possible or a page is not granted.</returns>
    public static ShareRing? TryMap(GrantTable grants, GuestPages interfacePage)
    {
        uint order = interfacePage.At<uint>(Order);
        if (order > MaxOrder)
        {
            return null;
        }

        uint[] references = new uint[1 << (int)order];
        for (int i = 0; i < references.Length; i++)
        {
            references[i] = interfacePage.At<uint>(References + (i * sizeof(uint)));
        }

        return grants.TryMapPages(references, out GuestPages? data) ? new ShareRing(interfacePage, data) : null;
    }

    /// <summary>Copies the first bytes that wait, without taking them.</summary>
    public void Peek(Span<byte> destination) => _data.CopyFromRing(Size, Size, _outConsumer, destination);

    /// <summary>Copies bytes out and takes them.</summary>
    public void Take(Span<byte> destination)
    {
        Peek(destination);
        _outConsumer += (uint)destination.Length;
        _interface.WriteIndex(OutConsumer, _outConsumer);
    }

    /// <summary>Gives the guest a whole message; it must fit into <see cref="Room"/>.</summary>
    public void Put(ReadOnlySpan<byte> message)
    {
        _data.CopyToRing(0, Size, _inProducer, message);
        _inProducer += (uint)message.Length;
        _interface.WriteIndex(InProducer, _inProducer);
    }
}
