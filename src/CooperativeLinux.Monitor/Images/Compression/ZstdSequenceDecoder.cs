using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>Decodes the sequences section of ZSTD blocks and carries the sequences out.</summary>
internal sealed unsafe class ZstdSequenceDecoder
{
    private readonly ZstdSequenceTable _literalLengths = new(ZstdSequenceCode.LiteralLengths());
    private readonly ZstdSequenceTable _matchLengths = new(ZstdSequenceCode.MatchLengths());
    private readonly ZstdSequenceTable _offsets = new(ZstdSequenceCode.Offsets());
    private uint _offset1 = 1;
    private uint _offset2 = 4;
    private uint _offset3 = 8;

    /// <summary>Decodes a section (RFC 8878, 3.1.1.3.2) and executes it.</summary>
    /// <param name="source">The whole section; 8 bytes are readable in front of it.</param>
    /// <param name="literals">The literals of the block.</param>
    /// <param name="literalsReadableEnd">End of readable memory behind the literals.</param>
    /// <param name="destination">Whole output buffer of the frame, from its first byte on.</param>
    /// <param name="written">Bytes of the frame already there.</param>
    /// <param name="limit">Largest output of the block.</param>
    /// <returns>Bytes written, or -1 if the block is corrupt or does not fit.</returns>
    /// <exception cref="InvalidImageException">A table is corrupt.</exception>
    public int Decode(
        ReadOnlySpan<byte> source,
        ReadOnlySpan<byte> literals,
        byte* literalsReadableEnd,
        Span<byte> destination,
        int written,
        int limit)
    {
        if (source.IsEmpty)
        {
            return -1;
        }

        int count = source[0];
        int position = 1;
        if (count >= 128)
        {
            int more = count == 255 ? 3 : 2;
            if (source.Length < more)
            {
                return -1;
            }

            count = count == 255
                ? source[1] + (source[2] << 8) + 0x7f00
                : ((count - 128) << 8) + source[1];
            position = more;
        }

        if (count == 0)
        {
            if (position != source.Length || literals.Length > limit)
            {
                return -1;
            }

            literals.CopyTo(destination[written..]);
            return literals.Length;
        }

        if (position >= source.Length || (source[position] & 3) != 0)
        {
            return -1;
        }

        int modes = source[position++];
        position += _literalLengths.Read(modes >> 6, source[position..]);
        position += _offsets.Read((modes >> 4) & 3, source[position..]);
        position += _matchLengths.Read((modes >> 2) & 3, source[position..]);

        // Pinned by reference: pinning an empty span as such gives null, and steps of 16 bytes may read behind it.
        fixed (byte* input = source, output = destination)
        fixed (byte* literal = &MemoryMarshal.GetReference(literals))
        {
            ZstdBitReader reader = default;
            if (!reader.TryStart(input + position, input + source.Length))
            {
                return -1;
            }

            return Execute(
                reader,
                count,
                literal,
                literal + literals.Length,
                literalsReadableEnd,
                output,
                output + written,
                output + written + limit,
                output + destination.Length);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int Execute(
        ZstdBitReader reader,
        int count,
        byte* literal,
        byte* literalEnd,
        byte* readableEnd,
        byte* frame,
        byte* output,
        byte* outputEnd,
        byte* memoryEnd)
    {
        // SAFETY: states stay inside their tables, as every transition was made for its table size; lengths and
        // offsets are compared with what is left and what exists before any byte moves.
        byte* start = output;
        uint offset1 = _offset1;
        uint offset2 = _offset2;
        uint offset3 = _offset3;
        fixed (ulong* literalLengths = _literalLengths.Entries,
            matchLengths = _matchLengths.Entries,
            offsets = _offsets.Entries)
        {
            if (!reader.TryRefill())
            {
                return -1;
            }

            ulong literalState = literalLengths[reader.Take(_literalLengths.Accuracy)];
            ulong offsetState = offsets[reader.Take(_offsets.Accuracy)];
            ulong matchState = matchLengths[reader.Take(_matchLengths.Accuracy)];
            while (true)
            {
                // Offset and match length take at most 47 bits, the rest of a sequence at most 42.
                if (!reader.TryRefill())
                {
                    return -1;
                }

                int offsetBits = (byte)(offsetState >> 24);
                uint offset = (uint)(offsetState >> 32) + reader.Take(offsetBits);
                nuint length = (uint)(matchState >> 32) + reader.Take((byte)(matchState >> 24));
                if (!reader.TryRefill())
                {
                    return -1;
                }

                nuint literals = (uint)(literalState >> 32) + reader.Take((byte)(literalState >> 24));
                if (offsetBits > 1)
                {
                    offset -= 3;
                    offset3 = offset2;
                    offset2 = offset1;
                    offset1 = offset;
                }
                else
                {
                    // Repeat codes; without literals before it, a repeat of the last offset would be no new match.
                    uint index = offset + (literals == 0 ? 1u : 0u);
                    offset = index switch { 1 => offset1, 2 => offset2, 3 => offset3, _ => offset1 - 1 };
                    offset3 = index >= 3 ? offset2 : offset3;
                    offset2 = index >= 2 ? offset1 : offset2;
                    offset1 = offset;
                }

                nuint room = (nuint)(outputEnd - output);
                if (literals > (nuint)(literalEnd - literal)
                    || literals > room
                    || length > room - literals
                    || offset - 1u >= (nuint)(output - frame) + literals)
                {
                    return -1;
                }

                if (literals + MatchCopy.Slack <= (nuint)(readableEnd - literal)
                    && literals + MatchCopy.Slack <= (nuint)(memoryEnd - output))
                {
                    MatchCopy.CopyLiterals(literal, output, literals);
                }
                else
                {
                    Unsafe.CopyBlockUnaligned(output, literal, (uint)literals);
                }

                output += literals;
                literal += literals;
                MatchCopy.Copy(output, offset, length, memoryEnd);
                output += length;
                if (--count == 0)
                {
                    break;
                }

                literalState = literalLengths[(ushort)literalState + reader.Take((byte)(literalState >> 16))];
                matchState = matchLengths[(ushort)matchState + reader.Take((byte)(matchState >> 16))];
                offsetState = offsets[(ushort)offsetState + reader.Take((byte)(offsetState >> 16))];
            }
        }

        _offset1 = offset1;
        _offset2 = offset2;
        _offset3 = offset3;
        nuint rest = (nuint)(literalEnd - literal);
        if (reader.Remaining != 0 || rest > (nuint)(outputEnd - output))
        {
            return -1;
        }

        Unsafe.CopyBlockUnaligned(output, literal, (uint)rest);
        return (int)(output + rest - start);
    }
}
