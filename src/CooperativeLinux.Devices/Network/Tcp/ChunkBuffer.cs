using System.Buffers;

namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>
/// A queue of bytes in pooled chunks, none while it is empty: hundreds of idle connections cost nothing. Bytes keep their place in
/// memory from being added to being removed.
/// </summary>
internal sealed class ChunkBuffer
{
    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkSize = 1 << 16;

    private readonly List<byte[]> _chunks = [];
    private int _start;

    /// <summary>Bytes in the queue.</summary>
    public int Count { get; private set; }

    /// <summary>Free bytes behind the end in one piece, at least one; part of them is added with <see cref="Commit"/>.</summary>
    public Span<byte> Space()
    {
        int end = _start + Count;
        Reserve(end + 1);
        return _chunks[end / ChunkSize].AsSpan(end % ChunkSize, ChunkSize - (end % ChunkSize));
    }

    /// <summary>Adds what was written at the start of <see cref="Space"/>, or with <see cref="WriteAhead"/>.</summary>
    public void Commit(int count) => Count += count;

    /// <summary>Adds bytes.</summary>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        WriteAhead(0, bytes);
        Commit(bytes.Length);
    }

    /// <summary>Writes bytes behind the end, without adding them.</summary>
    /// <param name="offset">From the end.</param>
    /// <param name="bytes">The bytes.</param>
    public void WriteAhead(int offset, ReadOnlySpan<byte> bytes)
    {
        int position = _start + Count + offset;
        Reserve(position + bytes.Length);
        while (!bytes.IsEmpty)
        {
            Span<byte> space = _chunks[position / ChunkSize].AsSpan(position % ChunkSize, ChunkSize - (position % ChunkSize));
            int count = Math.Min(space.Length, bytes.Length);
            bytes[..count].CopyTo(space);
            bytes = bytes[count..];
            position += count;
        }
    }

    /// <summary>Bytes of the queue from an offset on, as many as are in one piece; empty at the end.</summary>
    public ReadOnlyMemory<byte> Peek(int offset, int most)
    {
        int count = Math.Min(most, Count - offset);
        if (count <= 0)
        {
            return default;
        }

        int position = _start + offset;
        int inChunk = position % ChunkSize;
        return _chunks[position / ChunkSize].AsMemory(inChunk, Math.Min(count, ChunkSize - inChunk));
    }

    /// <summary>Removes bytes at the start.</summary>
    public void Remove(int count)
    {
        _start += count;
        Count -= count;
        int used = _start / ChunkSize;
        for (int i = 0; i < used; i++)
        {
            ArrayPool<byte>.Shared.Return(_chunks[i]);
        }

        _chunks.RemoveRange(0, used);
        _start -= used * ChunkSize;
    }

    /// <summary>Gives memory back if the queue is empty and nothing was written ahead.</summary>
    public void Trim()
    {
        if (Count == 0)
        {
            Clear();
        }
    }

    /// <summary>Removes everything.</summary>
    /// <param name="isShared">Somebody may still read the bytes, so that their memory must not be used for others.</param>
    public void Clear(bool isShared = false)
    {
        if (!isShared)
        {
            _chunks.ForEach(chunk => ArrayPool<byte>.Shared.Return(chunk));
        }

        _chunks.Clear();
        _start = 0;
        Count = 0;
    }

    private void Reserve(int end)
    {
        while (_chunks.Count * ChunkSize < end)
        {
            _chunks.Add(ArrayPool<byte>.Shared.Rent(ChunkSize));
        }
    }
}
