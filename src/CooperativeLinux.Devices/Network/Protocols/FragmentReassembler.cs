using System.Runtime.InteropServices;

namespace CooperativeLinux.Devices.Network.Protocols;

/// <summary>Puts IP fragments together (RFC 815, RFC 8200): few packets at once, and none whose fragments overlap.</summary>
internal sealed class FragmentReassembler
{
    /// <summary>Most packets at once; the oldest makes room for a new one.</summary>
    public const int MaxPackets = 16;

    /// <summary>How long fragments of a packet are kept, in milliseconds.</summary>
    public const long Lifetime = 30_000;

    private const int MaxPacket = 65535;

    // As many as a packet has at the least MTU of IPv6, and then some.
    private const int MaxFragments = 128;

    private readonly Dictionary<Key, Pieces> _packets = [];
    private byte[] _result = [];

    /// <summary>Takes a fragment.</summary>
    /// <param name="fragment">The fragment.</param>
    /// <param name="now">Milliseconds.</param>
    /// <param name="payload">The whole packet's payload; valid until the next call.</param>
    /// <returns>Whether the packet is complete.</returns>
    public bool TryComplete(in IpPacket fragment, long now, out ReadOnlySpan<byte> payload)
    {
        payload = default;
        Key key = new(fragment.Source, fragment.Target, fragment.Protocol, fragment.FragmentId);
        int end = fragment.FragmentOffset + fragment.Payload.Length;
        bool isBad = end > MaxPacket || fragment.Payload.IsEmpty || (!fragment.IsLastFragment && fragment.Payload.Length % 8 != 0);
        if (isBad)
        {
            _packets.Remove(key);
            return false;
        }

        if (!_packets.TryGetValue(key, out Pieces? pieces) || pieces.Start + Lifetime <= now)
        {
            if (pieces is null && _packets.Count >= MaxPackets)
            {
                _packets.Remove(_packets.MinBy(old => old.Value.Start).Key);
            }

            pieces = new Pieces(now);
            _packets[key] = pieces;
        }

        if (!pieces.TryAdd(fragment.FragmentOffset, fragment.Payload, fragment.IsLastFragment))
        {
            _packets.Remove(key);
            return false;
        }

        if (!pieces.IsComplete)
        {
            return false;
        }

        _packets.Remove(key);
        _result = pieces.Join();
        payload = _result;
        return true;
    }

    public void Clear() => _packets.Clear();

    private readonly record struct Key(NetworkAddress Source, NetworkAddress Target, byte Protocol, uint Id);

    private sealed class Pieces(long start)
    {
        private readonly List<(int Offset, byte[] Bytes)> _parts = [];
        private int _length;
        private int? _total;

        public long Start => start;

        public bool IsComplete => _total == _length;

        public bool TryAdd(int offset, ReadOnlySpan<byte> bytes, bool isLast)
        {
            int end = offset + bytes.Length;
            if (_parts.Count == MaxFragments || (isLast && _total is not null) || end > (_total ?? MaxPacket))
            {
                return false;
            }

            foreach ((int otherOffset, byte[] other) in CollectionsMarshal.AsSpan(_parts))
            {
                if (offset < otherOffset + other.Length && otherOffset < end)
                {
                    return false;
                }

                if (isLast && otherOffset + other.Length > end)
                {
                    return false;
                }
            }

            _parts.Add((offset, bytes.ToArray()));
            _length += bytes.Length;
            _total = isLast ? end : _total;
            return true;
        }

        public byte[] Join()
        {
            byte[] whole = new byte[_length];
            foreach ((int offset, byte[] bytes) in _parts)
            {
                bytes.CopyTo(whole, offset);
            }

            return whole;
        }
    }
}
