using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>The Huffman table of ZSTD literals and the decoding of one or four streams with it.</summary>
internal sealed unsafe class ZstdHuffman
{
    private const int MaximumBits = 11;
    private const int WeightAccuracy = 6;
    private const int MaximumWeights = 255;

    // Codes of at most 11 bits taken between two refills.
    private const int SymbolsPerRefill = 5;

    // Index: the next bits; content: symbol << 8 | length of its code.
    private readonly ushort[] _table = new ushort[1 << MaximumBits];
    private readonly byte[] _weights = new byte[MaximumWeights + 1];
    private int _bits;

    /// <summary>Whether a table was read.</summary>
    public bool IsReady { get; private set; }

    /// <summary>Reads the table description (RFC 8878, 4.2.1).</summary>
    /// <param name="source">Starts with it; 8 bytes are readable in front of it.</param>
    /// <returns>Bytes read.</returns>
    /// <exception cref="InvalidImageException">The description is corrupt.</exception>
    public int ReadTable(ReadOnlySpan<byte> source)
    {
        IsReady = false;
        if (source.IsEmpty)
        {
            throw Corrupt();
        }

        int length;
        int count;
        if (source[0] < 128)
        {
            length = source[0];
            if (length + 1 > source.Length)
            {
                throw Corrupt();
            }

            count = ReadPackedWeights(source.Slice(1, length));
        }
        else
        {
            count = source[0] - 127;
            length = (count + 1) / 2;
            if (length + 1 > source.Length)
            {
                throw Corrupt();
            }

            for (int i = 0; i < count; i++)
            {
                byte pair = source[1 + (i / 2)];
                _weights[i] = (byte)(i % 2 == 0 ? pair >> 4 : pair & 15);
            }
        }

        BuildTable(count);
        IsReady = true;
        return length + 1;
    }

    /// <summary>Decodes a single stream.</summary>
    /// <returns>False if it is corrupt.</returns>
    public bool TryDecodeOne(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        fixed (byte* input = source, output = destination)
        fixed (ushort* table = _table)
        {
            ZstdBitReader reader = default;
            return reader.TryStart(input, input + source.Length)
                && TryDecodeRest(ref reader, table, output, output + destination.Length);
        }
    }

    /// <summary>Decodes four streams that hold a quarter of the output each.</summary>
    /// <returns>False if one is corrupt.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool TryDecodeFour(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        const int JumpTable = 6;
        if (source.Length < JumpTable || destination.Length < 4)
        {
            return false;
        }

        int length0 = BinaryPrimitives.ReadUInt16LittleEndian(source);
        int length1 = BinaryPrimitives.ReadUInt16LittleEndian(source[2..]);
        int length2 = BinaryPrimitives.ReadUInt16LittleEndian(source[4..]);
        int quarter = (destination.Length + 3) / 4;
        if (length0 + length1 + length2 > source.Length - JumpTable || quarter * 3 > destination.Length)
        {
            return false;
        }

        fixed (byte* input = source, output = destination)
        fixed (ushort* table = _table)
        {
            byte* start0 = input + JumpTable;
            byte* start1 = start0 + length0;
            byte* start2 = start1 + length1;
            byte* start3 = start2 + length2;
            ZstdBitReader reader0 = default;
            ZstdBitReader reader1 = default;
            ZstdBitReader reader2 = default;
            ZstdBitReader reader3 = default;
            if (!reader0.TryStart(start0, start1)
                || !reader1.TryStart(start1, start2)
                || !reader2.TryStart(start2, start3)
                || !reader3.TryStart(start3, input + source.Length))
            {
                return false;
            }

            byte* output0 = output;
            byte* output1 = output0 + quarter;
            byte* output2 = output1 + quarter;
            byte* output3 = output2 + quarter;
            byte* end = output + destination.Length;
            int shift = 64 - _bits;
            ulong bits0 = reader0.Bits;
            ulong bits1 = reader1.Bits;
            ulong bits2 = reader2.Bits;
            ulong bits3 = reader3.Bits;
            byte* next0 = reader0.Next;
            byte* next1 = reader1.Next;
            byte* next2 = reader2.Next;
            byte* next3 = reader3.Next;
            while (true)
            {
                // SAFETY: a round takes at most 7 bytes of each stream and writes 5 bytes to each quarter, of
                // which the last is the shortest; so many rounds need no checks inside.
                long slowest = Math.Min(
                    Math.Min(next0 - start0, next1 - start1),
                    Math.Min(next2 - start2, next3 - start3));
                long rounds = Math.Min(slowest / 7, (end - output3) / SymbolsPerRefill);
                if (rounds <= 0)
                {
                    break;
                }

                do
                {
                    for (int i = 0; i < SymbolsPerRefill; i++)
                    {
                        uint entry0 = table[bits0 >> shift];
                        uint entry1 = table[bits1 >> shift];
                        uint entry2 = table[bits2 >> shift];
                        uint entry3 = table[bits3 >> shift];
                        bits0 <<= (int)entry0;
                        bits1 <<= (int)entry1;
                        bits2 <<= (int)entry2;
                        bits3 <<= (int)entry3;
                        output0[i] = (byte)(entry0 >> 8);
                        output1[i] = (byte)(entry1 >> 8);
                        output2[i] = (byte)(entry2 >> 8);
                        output3[i] = (byte)(entry3 >> 8);
                    }

                    output0 += SymbolsPerRefill;
                    output1 += SymbolsPerRefill;
                    output2 += SymbolsPerRefill;
                    output3 += SymbolsPerRefill;
                    Refill(ref bits0, ref next0);
                    Refill(ref bits1, ref next1);
                    Refill(ref bits2, ref next2);
                    Refill(ref bits3, ref next3);
                }
                while (--rounds > 0);
            }

            reader0.Bits = bits0;
            reader1.Bits = bits1;
            reader2.Bits = bits2;
            reader3.Bits = bits3;
            reader0.Next = next0;
            reader1.Next = next1;
            reader2.Next = next2;
            reader3.Next = next3;
            return TryDecodeRest(ref reader0, table, output0, output + quarter)
                && TryDecodeRest(ref reader1, table, output1, output + (2 * quarter))
                && TryDecodeRest(ref reader2, table, output2, output + (3 * quarter))
                && TryDecodeRest(ref reader3, table, output3, end);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Refill(ref ulong bits, ref byte* next)
    {
        int taken = BitOperations.TrailingZeroCount(bits);
        next -= taken >> 3;
        bits = (Unsafe.ReadUnaligned<ulong>(next) | 1) << (taken & 7);
    }

    private static InvalidImageException Corrupt() => CompressionErrors.Corrupt("ZSTD", "bad Huffman table");

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool TryDecodeRest(ref ZstdBitReader reader, ushort* table, byte* output, byte* end)
    {
        int shift = 64 - _bits;
        while (output < end)
        {
            if (!reader.TryRefill())
            {
                return false;
            }

            long count = Math.Min(end - output, SymbolsPerRefill);
            for (long i = 0; i < count; i++)
            {
                uint entry = table[reader.Bits >> shift];
                reader.Bits <<= (int)entry;
                *output++ = (byte)(entry >> 8);
            }
        }

        return reader.Remaining == 0;
    }

    private int ReadPackedWeights(ReadOnlySpan<byte> source)
    {
        // Weights are 0 to 11; a larger symbol in the distribution is an error.
        Span<short> counts = stackalloc short[MaximumBits + 2];
        int header = ZstdFse.ReadCounts(source, counts, WeightAccuracy, out int accuracy);
        Span<byte> symbols = stackalloc byte[1 << WeightAccuracy];
        Span<(byte Bits, ushort Base)> transitions = stackalloc (byte, ushort)[1 << WeightAccuracy];
        ZstdFse.Spread(counts, accuracy, symbols);
        ZstdFse.MakeTransitions(counts, accuracy, symbols, transitions);
        fixed (byte* input = source)
        {
            ZstdBitReader reader = default;
            if (!reader.TryStart(input + header, input + source.Length) || reader.Remaining < accuracy * 2)
            {
                throw Corrupt();
            }

            uint current = reader.Take(accuracy);
            uint other = reader.Take(accuracy);
            int count = 0;

            // Two states take turns until one cannot be renewed; then the other one gives the last weight.
            while (count < MaximumWeights - 1)
            {
                _weights[count++] = symbols[(int)current];
                (byte bits, ushort from) = transitions[(int)current];
                if (bits > reader.Remaining)
                {
                    _weights[count++] = symbols[(int)other];
                    return count;
                }

                reader.TryRefill();
                current = other;
                other = from + reader.Take(bits);
            }
        }

        throw Corrupt();
    }

    private void BuildTable(int count)
    {
        uint total = 0;
        for (int symbol = 0; symbol < count; symbol++)
        {
            if (_weights[symbol] > MaximumBits)
            {
                throw Corrupt();
            }

            total += (1u << _weights[symbol]) >> 1;
        }

        if (total == 0)
        {
            throw Corrupt();
        }

        // The last weight is not stored: it fills the table up to a power of two.
        _bits = BitOperations.Log2(total) + 1;
        uint rest = (1u << _bits) - total;
        if (_bits > MaximumBits || !BitOperations.IsPow2(rest))
        {
            throw Corrupt();
        }

        _weights[count++] = (byte)(BitOperations.Log2(rest) + 1);
        int position = 0;
        for (int weight = 1; weight <= _bits; weight++)
        {
            int entries = 1 << (weight - 1);
            for (int symbol = 0; symbol < count; symbol++)
            {
                if (_weights[symbol] == weight)
                {
                    ushort entry = (ushort)((symbol << 8) | (_bits + 1 - weight));
                    _table.AsSpan(position, entries).Fill(entry);
                    position += entries;
                }
            }
        }
    }
}
