using System.Collections;

namespace CooperativeLinux.Processor.Cache;

/// <summary>
/// Records by number. It grows by pieces of a fixed size: nothing is copied, there is room for one piece more at most, and a reference to
/// a record stays good until the list is cleared.
/// </summary>
/// <typeparam name="T">The record.</typeparam>
internal sealed class RecordList<T> : IEnumerable<T>
    where T : struct
{
    // Pieces stay below the size from which on .NET does not move objects (85 kB).
    private const int PieceShift = 10;
    private const int PieceSize = 1 << PieceShift;

    private readonly List<T[]> _pieces = [];

    public int Count { get; private set; }

    public ref T this[int number] => ref _pieces[number >> PieceShift][number & (PieceSize - 1)];

    public void Add(in T record)
    {
        if (Count == _pieces.Count << PieceShift)
        {
            _pieces.Add(new T[PieceSize]);
        }

        this[Count++] = record;
    }

    /// <summary>Copies some that follow each other.</summary>
    public T[] Copy(int first, int count)
    {
        T[] copy = count == 0 ? [] : new T[count];
        for (int i = 0; i < count; i++)
        {
            copy[i] = this[first + i];
        }

        return copy;
    }

    /// <summary>Removes all, and gives their memory back.</summary>
    public void Clear()
    {
        _pieces.Clear();
        Count = 0;
    }

    public IEnumerator<T> GetEnumerator()
    {
        for (int i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
