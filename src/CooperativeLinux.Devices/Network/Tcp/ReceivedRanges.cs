namespace CooperativeLinux.Devices.Network.Tcp;

/// <summary>Which parts of a stream have come before their time: some ranges of sequence numbers, in order and apart.</summary>
internal sealed class ReceivedRanges
{
    /// <summary>Most ranges; what would be one more is forgotten, and comes again.</summary>
    public const int MaxRanges = 32;

    private readonly List<(uint Start, uint End)> _ranges = [];

    public bool IsEmpty => _ranges.Count == 0;

    /// <summary>Adds a range.</summary>
    /// <returns>Whether it could be.</returns>
    public bool TryAdd(uint start, uint end)
    {
        int first = 0;
        while (first < _ranges.Count && Sequence.IsBefore(_ranges[first].End, start))
        {
            first++;
        }

        int last = first;
        while (last < _ranges.Count && !Sequence.IsAfter(_ranges[last].Start, end))
        {
            start = Sequence.IsBefore(_ranges[last].Start, start) ? _ranges[last].Start : start;
            end = Sequence.Max(end, _ranges[last].End);
            last++;
        }

        if (first == last && _ranges.Count == MaxRanges)
        {
            return false;
        }

        _ranges.RemoveRange(first, last - first);
        _ranges.Insert(first, (start, end));
        return true;
    }

    /// <summary>Removes what a stream that has come up to a number can take.</summary>
    /// <returns>The number up to which it has come then.</returns>
    public uint Advance(uint next)
    {
        while (_ranges.Count > 0 && !Sequence.IsAfter(_ranges[0].Start, next))
        {
            next = Sequence.Max(next, _ranges[0].End);
            _ranges.RemoveAt(0);
        }

        return next;
    }
}
