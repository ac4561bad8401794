using CooperativeLinux.Devices.Network.Protocols;

namespace CooperativeLinux.Devices.Network.User;

/// <summary>
/// UDP datagrams on their way to the guest, which wait here while it has no room: the buffer of a socket is often too small (Linux:
/// net.core.rmem_max, 208 KiB by default, some milliseconds of a fast sender). Called with the network's lock held.
/// </summary>
/// <param name="link">The wire to the guest.</param>
internal sealed class HeldDatagrams(GuestLink link)
{
    /// <summary>Bytes that wait, beyond which more had better stay where they are.</summary>
    public const int Capacity = 1 << 20;

    private readonly Queue<((NetworkAddress Address, ushort Port) Source, (NetworkAddress Address, ushort Port) Target, byte[] Payload)> _waiting = new();
    private long _size;

    /// <summary>Whether more may come.</summary>
    public bool HasRoom => _size < Capacity;

    /// <summary>Sends a datagram, or keeps a copy until the guest has room.</summary>
    /// <returns>Whether more may come.</returns>
    public bool Send((NetworkAddress Address, ushort Port) source, (NetworkAddress Address, ushort Port) target, ReadOnlySpan<byte> payload)
    {
        if (_waiting.Count > 0 || !link.SendUdp(source, target, payload))
        {
            _waiting.Enqueue((source, target, payload.ToArray()));
            _size += payload.Length;
        }

        return HasRoom;
    }

    /// <summary>The guest has room.</summary>
    public void OnRoom()
    {
        while (_waiting.TryPeek(out var first) && link.SendUdp(first.Source, first.Target, first.Payload))
        {
            _size -= _waiting.Dequeue().Payload.Length;
        }
    }

    /// <summary>The guest is gone, or another.</summary>
    public void Clear()
    {
        _waiting.Clear();
        _size = 0;
    }
}
