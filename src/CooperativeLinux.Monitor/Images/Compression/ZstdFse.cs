using System.Numerics;
using System.Runtime.CompilerServices;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>Reading and spreading of FSE distributions, which both the Huffman weights and the sequences use.</summary>
internal static class ZstdFse
{
    /// <summary>The largest accuracy a table may have here.</summary>
    public const int MaximumAccuracy = 9;

    private const int MinimumAccuracy = 5;

    /// <summary>Reads a distribution (RFC 8878, 4.1.1).</summary>
    /// <param name="source">Starts with it.</param>
    /// <param name="counts">Receives one count per symbol, -1 for "less than one"; its length bounds the symbols.</param>
    /// <param name="maximumAccuracy">Largest allowed accuracy.</param>
    /// <param name="accuracy">log2 of the table size.</param>
    /// <returns>Bytes read.</returns>
    /// <exception cref="InvalidImageException">The distribution is corrupt.</exception>
    public static int ReadCounts(ReadOnlySpan<byte> source, Span<short> counts, int maximumAccuracy, out int accuracy)
    {
        counts.Clear();
        long position = 0;
        accuracy = (int)Peek(source, position, 4) + MinimumAccuracy;
        position += 4;
        if (accuracy > maximumAccuracy)
        {
            throw Corrupt();
        }

        int remaining = 1 << accuracy;
        int symbol = 0;
        while (remaining > 0)
        {
            if (symbol >= counts.Length)
            {
                throw Corrupt();
            }

            // Values 0 to remaining + 1 take `bits` bits, the first `shorter` of them one bit less.
            int bits = BitOperations.Log2((uint)remaining + 1) + 1;
            int shorter = (1 << bits) - 2 - remaining;
            int value = (int)Peek(source, position, bits - 1);
            if (value < shorter)
            {
                position += bits - 1;
            }
            else
            {
                value = (int)Peek(source, position, bits);
                position += bits;
                value -= value >= 1 << (bits - 1) ? shorter : 0;
            }

            int count = value - 1;
            remaining -= Math.Abs(count);
            counts[symbol++] = (short)count;
            if (count != 0)
            {
                continue;
            }

            uint zeros;
            do
            {
                zeros = Peek(source, position, 2);
                position += 2;
                symbol += (int)zeros;
            }
            while (zeros == 3 && symbol < counts.Length);
        }

        int length = (int)((position + 7) / 8);
        return remaining < 0 || length > source.Length ? throw Corrupt() : length;
    }

    /// <summary>Gives every state of a table its symbol (RFC 8878, 4.1.1, from counts to table).</summary>
    /// <param name="counts">The distribution; its sum fills the table.</param>
    /// <param name="accuracy">log2 of the table size.</param>
    /// <param name="symbols">Receives the symbol of each state.</param>
    public static void Spread(ReadOnlySpan<short> counts, int accuracy, Span<byte> symbols)
    {
        int size = 1 << accuracy;
        int highest = size - 1;
        for (int symbol = 0; symbol < counts.Length; symbol++)
        {
            if (counts[symbol] == -1)
            {
                symbols[highest--] = (byte)symbol;
            }
        }

        int step = (size >> 1) + (size >> 3) + 3;
        int position = 0;
        for (int symbol = 0; symbol < counts.Length; symbol++)
        {
            for (int i = 0; i < counts[symbol]; i++)
            {
                symbols[position] = (byte)symbol;
                do
                {
                    position = (position + step) & (size - 1);
                }
                while (position > highest);
            }
        }
    }

    /// <summary>What each state needs to reach the next one.</summary>
    /// <param name="counts">The distribution.</param>
    /// <param name="accuracy">log2 of the table size.</param>
    /// <param name="symbols">The symbol of each state.</param>
    /// <param name="transitions">Receives, per state, the bits to read and what to add to them.</param>
    public static void MakeTransitions(
        ReadOnlySpan<short> counts,
        int accuracy,
        ReadOnlySpan<byte> symbols,
        Span<(byte Bits, ushort Base)> transitions)
    {
        Span<ushort> next = stackalloc ushort[256];
        for (int symbol = 0; symbol < counts.Length; symbol++)
        {
            next[symbol] = (ushort)Math.Abs((int)counts[symbol]);
        }

        int size = 1 << accuracy;
        for (int state = 0; state < size; state++)
        {
            uint number = next[symbols[state]]++;
            int bits = accuracy - BitOperations.Log2(number);
            transitions[state] = ((byte)bits, (ushort)((number << bits) - (uint)size));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Peek(ReadOnlySpan<byte> source, long position, int count)
    {
        // Bits beyond the end are 0; the caller compares the final position with the length.
        uint bits = 0;
        int first = (int)(position / 8);
        for (int i = 0; i < 3; i++)
        {
            bits |= (first + i < source.Length ? source[first + i] : 0u) << (8 * i);
        }

        return (bits >> (int)(position % 8)) & ((1u << count) - 1);
    }

    private static InvalidImageException Corrupt() => CompressionErrors.Corrupt("ZSTD", "bad table");
}
