namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// The FSE table of one of the three parts of a sequence (literal length, match length, offset), joined with what each
/// code means, so that one load gives all that a state needs.
/// </summary>
internal sealed class ZstdSequenceTable
{
    private readonly ZstdSequenceCode _code;
    private readonly ulong[] _entries = new ulong[1 << ZstdFse.MaximumAccuracy];
    private bool _isReady;

    /// <summary>Makes an empty table for one kind of code.</summary>
    public ZstdSequenceTable(ZstdSequenceCode code) => _code = code;

    /// <summary>
    /// One entry per state: bits 0-15 what to add for the next state, 16-23 bits of the next state, 24-31 extra
    /// bits of the value, 32-63 what to add to them.
    /// </summary>
    public ReadOnlySpan<ulong> Entries => _entries;

    /// <summary>Bits of the first state.</summary>
    public int Accuracy { get; private set; }

    /// <summary>Takes the table of a block (RFC 8878, 3.1.1.3.2.1).</summary>
    /// <param name="mode">0 predefined, 1 a single code, 2 described here, 3 the one before.</param>
    /// <param name="source">Starts with the description.</param>
    /// <returns>Bytes read.</returns>
    /// <exception cref="InvalidImageException">The description is corrupt.</exception>
    public int Read(int mode, ReadOnlySpan<byte> source)
    {
        switch (mode)
        {
            case 0:
                Build(_code.DefaultCounts, _code.DefaultAccuracy);
                return 0;
            case 1:
                if (source.IsEmpty || source[0] >= _code.Count)
                {
                    throw Corrupt();
                }

                Accuracy = 0;
                _entries[0] = _code.Describe(source[0]);
                _isReady = true;
                return 1;
            case 2:
                Span<short> counts = stackalloc short[_code.Count];
                int length = ZstdFse.ReadCounts(source, counts, _code.MaximumAccuracy, out int accuracy);
                Build(counts, accuracy);
                return length;
            default:
                return _isReady ? 0 : throw Corrupt();
        }
    }

    private static InvalidImageException Corrupt() => CompressionErrors.Corrupt("ZSTD", "bad sequence table");

    private void Build(ReadOnlySpan<short> counts, int accuracy)
    {
        Span<byte> symbols = stackalloc byte[1 << accuracy];
        Span<(byte Bits, ushort Base)> transitions = stackalloc (byte, ushort)[1 << accuracy];
        ZstdFse.Spread(counts, accuracy, symbols);
        ZstdFse.MakeTransitions(counts, accuracy, symbols, transitions);
        for (int state = 0; state < symbols.Length; state++)
        {
            (byte bits, ushort from) = transitions[state];
            _entries[state] = _code.Describe(symbols[state]) | ((ulong)bits << 16) | from;
        }

        Accuracy = accuracy;
        _isReady = true;
    }
}
