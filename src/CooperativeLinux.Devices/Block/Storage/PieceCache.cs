using System.Diagnostics.CodeAnalysis;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>Keeps pieces of a file that were used last, by their position. Any thread; nobody changes a piece.</summary>
/// <param name="capacity">Bytes of all pieces; one piece is kept in any case.</param>
internal sealed class PieceCache(long capacity)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, LinkedListNode<(long Position, byte[] Piece)>> _nodes = [];
    private readonly LinkedList<(long Position, byte[] Piece)> _byUse = [];
    private long _size;

    public bool TryGet(long position, [NotNullWhen(true)] out byte[]? piece)
    {
        lock (_gate)
        {
            piece = null;
            if (_nodes.TryGetValue(position, out LinkedListNode<(long, byte[] Piece)>? node))
            {
                piece = node.Value.Piece;
                if (node != _byUse.First)
                {
                    _byUse.Remove(node);
                    _byUse.AddFirst(node);
                }
            }

            return piece is not null;
        }
    }

    public void Add(long position, byte[] piece)
    {
        lock (_gate)
        {
            if (_nodes.ContainsKey(position))
            {
                // Two threads have read it.
                return;
            }

            _nodes.Add(position, _byUse.AddFirst((position, piece)));
            _size += piece.Length;
            while (_size > capacity && _byUse.Count > 1)
            {
                (long last, byte[] dropped) = _byUse.Last!.Value;
                _byUse.RemoveLast();
                _nodes.Remove(last);
                _size -= dropped.Length;
            }
        }
    }
}
