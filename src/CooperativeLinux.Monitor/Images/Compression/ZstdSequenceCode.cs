namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>What the codes of one part of a ZSTD sequence mean (RFC 8878, 3.1.1.3.2.1.1 and appendix A).</summary>
internal sealed class ZstdSequenceCode
{
    private readonly uint[] _bases;
    private readonly byte[] _extraBits;
    private readonly short[] _defaultCounts;

    private ZstdSequenceCode(
        uint firstBase, byte[] extraBits, short[] defaultCounts, int defaultAccuracy, int maximumAccuracy)
    {
        _extraBits = extraBits;
        _defaultCounts = defaultCounts;
        DefaultAccuracy = defaultAccuracy;
        MaximumAccuracy = maximumAccuracy;

        // The ranges of the codes follow each other without gaps.
        _bases = new uint[extraBits.Length];
        uint next = firstBase;
        for (int code = 0; code < _bases.Length; code++)
        {
            _bases[code] = next;
            next += 1u << extraBits[code];
        }
    }

    /// <summary>Number of codes.</summary>
    public int Count => _bases.Length;

    /// <summary>The predefined distribution.</summary>
    public ReadOnlySpan<short> DefaultCounts => _defaultCounts;

    /// <summary>Its accuracy.</summary>
    public int DefaultAccuracy { get; }

    /// <summary>The largest accuracy of a described table.</summary>
    public int MaximumAccuracy { get; }

    /// <summary>Literal lengths.</summary>
    public static ZstdSequenceCode LiteralLengths() => new(
        0,
        [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
        ],
        [
            4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
            -1, -1, -1, -1,
        ],
        6,
        9);

    /// <summary>Match lengths.</summary>
    public static ZstdSequenceCode MatchLengths() => new(
        3,
        [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
        ],
        [
            1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
            1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
        ],
        6,
        9);

    /// <summary>Offsets: code n stands for 2^n and n more bits.</summary>
    public static ZstdSequenceCode Offsets()
    {
        byte[] extraBits = new byte[32];
        for (int code = 0; code < extraBits.Length; code++)
        {
            extraBits[code] = (byte)code;
        }

        short[] counts =
        [
            1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
        ];
        return new(1, extraBits, counts, 5, 8);
    }

    /// <summary>The value part of a table entry, see <see cref="ZstdSequenceTable.Entries"/>.</summary>
    public ulong Describe(int code) => ((ulong)_bases[code] << 32) | ((ulong)_extraBits[code] << 24);
}
