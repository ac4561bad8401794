namespace CooperativeLinux.Guests.Packages;

/// <summary>Compares Debian package versions by the rules of Debian Policy 5.6.12.</summary>
internal sealed class DebianVersion : IComparer<string>
{
    /// <summary>The comparison.</summary>
    public static DebianVersion Comparer { get; } = new();

    /// <inheritdoc/>
    public int Compare(string? x, string? y)
    {
        (long epochX, string upstreamX, string revisionX) = Split(x ?? "");
        (long epochY, string upstreamY, string revisionY) = Split(y ?? "");
        int order = epochX.CompareTo(epochY);
        order = order != 0 ? order : ComparePart(upstreamX, upstreamY);
        return order != 0 ? order : ComparePart(revisionX, revisionY);
    }

    private static (long Epoch, string Upstream, string Revision) Split(string version)
    {
        int colon = version.IndexOf(':');
        long epoch = colon > 0 && long.TryParse(version.AsSpan(0, colon), out long value) ? value : 0;
        string rest = version[(colon + 1)..];
        int dash = rest.LastIndexOf('-');
        return dash < 0 ? (epoch, rest, "") : (epoch, rest[..dash], rest[(dash + 1)..]);
    }

    private static int ComparePart(string x, string y)
    {
        int i = 0;
        int j = 0;
        while (i < x.Length || j < y.Length)
        {
            // A stretch without digits compares character by character, '~' before the end, letters before the rest.
            while ((i < x.Length && !char.IsAsciiDigit(x[i])) || (j < y.Length && !char.IsAsciiDigit(y[j])))
            {
                int order = Weight(x, i).CompareTo(Weight(y, j));
                if (order != 0)
                {
                    return order;
                }

                i++;
                j++;
            }

            ReadOnlySpan<char> numberX = TakeNumber(x, ref i);
            ReadOnlySpan<char> numberY = TakeNumber(y, ref j);
            int byLength = numberX.Length.CompareTo(numberY.Length);
            int byNumber = byLength != 0 ? byLength : numberX.SequenceCompareTo(numberY);
            if (byNumber != 0)
            {
                return byNumber;
            }
        }

        return 0;
    }

    private static int Weight(string text, int index)
    {
        if (index >= text.Length || char.IsAsciiDigit(text[index]))
        {
            return 0;
        }

        char c = text[index];
        return c == '~' ? -1 : char.IsAsciiLetter(c) ? c : c + 256;
    }

    private static ReadOnlySpan<char> TakeNumber(string text, ref int index)
    {
        int start = index;
        while (index < text.Length && char.IsAsciiDigit(text[index]))
        {
            index++;
        }

        return text.AsSpan(start, index - start).TrimStart('0');
    }
}
