using System.Buffers.Binary;
using System.IO.Hashing;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// Decodes ZSTD frames (RFC 8878) into one buffer, which serves as the window whatever the window size is. Dictionaries
/// are not supported.
/// </summary>
public sealed unsafe class ZstdDecoder
{
    /// <summary>First four bytes, little endian.</summary>
    public const uint Magic = 0xfd2fb528;

    private const uint SkippableMagic = 0x184d2a50;
    private const int MaximumBlock = 128 << 10;

    private readonly byte[] _literals = new byte[MaximumBlock + MatchCopy.Slack];
    private ZstdHuffman _huffman = new();
    private ZstdSequenceDecoder _sequences = new();

    /// <summary>Decodes all frames.</summary>
    /// <param name="source">The whole file.</param>
    /// <param name="destination">Receives the output.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="InvalidImageException">Corrupt, truncated, unsupported, or too long for the destination.</exception>
    public int Decode(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        int written = 0;
        int position = 0;
        do
        {
            Require(source.Length - position >= 4);
            uint magic = BinaryPrimitives.ReadUInt32LittleEndian(source[position..]);
            if (magic == Magic)
            {
                written += DecodeFrame(source, ref position, destination[written..]);
            }
            else if ((magic & ~0xfu) == SkippableMagic)
            {
                Require(source.Length - position >= 8);
                uint length = BinaryPrimitives.ReadUInt32LittleEndian(source[(position + 4)..]);
                position += 8;
                Require(length <= (uint)(source.Length - position));
                position += (int)length;
            }
            else
            {
                throw Corrupt("no frame header");
            }
        }
        while (position < source.Length);
        return written;
    }

    /// <summary>Decodes the frame that the source begins with.</summary>
    /// <param name="source">The frame; whatever follows it does not matter.</param>
    /// <param name="destination">Receives the output.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="InvalidImageException">Corrupt, truncated, unsupported, or too long for the destination.</exception>
    public int DecodeFirst(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        Require(source.Length >= 4);
        int position = 0;
        return BinaryPrimitives.ReadUInt32LittleEndian(source) == Magic ? DecodeFrame(source, ref position, destination) : throw Corrupt("no frame header");
    }

    private static void Require(bool isThere)
    {
        if (!isThere)
        {
            throw CompressionErrors.Truncated("ZSTD");
        }
    }

    private static InvalidImageException Corrupt(string detail) => CompressionErrors.Corrupt("ZSTD", detail);

    private static ulong ReadNumber(ReadOnlySpan<byte> source, ref int position, int length)
    {
        Require(length <= source.Length - position);
        ulong value = 0;
        for (int i = 0; i < length; i++)
        {
            value |= (ulong)source[position + i] << (8 * i);
        }

        position += length;
        return value;
    }

    private int DecodeFrame(ReadOnlySpan<byte> source, ref int position, Span<byte> destination)
    {
        position += 4;
        int descriptor = (int)ReadNumber(source, ref position, 1);
        bool isSingleSegment = (descriptor & 0x20) != 0;
        bool hasChecksum = (descriptor & 4) != 0;
        if ((descriptor & 8) != 0)
        {
            throw CompressionErrors.Unsupported("ZSTD", "a reserved frame flag");
        }

        ulong window = ulong.MaxValue;
        if (!isSingleSegment)
        {
            int value = (int)ReadNumber(source, ref position, 1);
            ulong unit = 1ul << (10 + (value >> 3));
            window = unit + (unit / 8 * (uint)(value & 7));
        }

        int dictionaryLength = (1 << (descriptor & 3)) >> 1;
        if (ReadNumber(source, ref position, dictionaryLength) != 0)
        {
            throw CompressionErrors.Unsupported("ZSTD", "a dictionary");
        }

        ulong? content = (descriptor >> 6) switch
        {
            0 => isSingleSegment ? ReadNumber(source, ref position, 1) : null,
            1 => ReadNumber(source, ref position, 2) + 256,
            2 => ReadNumber(source, ref position, 4),
            _ => ReadNumber(source, ref position, 8),
        };
        if (content > (ulong)destination.Length)
        {
            throw CompressionErrors.TooLong("ZSTD");
        }

        int blockLimit = (int)Math.Min(Math.Min(window, content ?? window), MaximumBlock);
        _huffman = new();
        _sequences = new();
        int written = 0;
        bool isLast;
        do
        {
            uint header = (uint)ReadNumber(source, ref position, 3);
            isLast = (header & 1) != 0;
            int size = (int)(header >> 3);
            written += DecodeBlock(source, ref position, (int)(header >> 1) & 3, size, destination, written, blockLimit);
        }
        while (!isLast);

        if ((content ?? (ulong)written) != (ulong)written)
        {
            throw Corrupt("content size differs from the header");
        }

        if (hasChecksum)
        {
            uint stated = (uint)ReadNumber(source, ref position, 4);
            if (stated != (uint)XxHash64.HashToUInt64(destination[..written]))
            {
                throw Corrupt("check sum of the data");
            }
        }

        return written;
    }

    private int DecodeBlock(
        ReadOnlySpan<byte> source,
        ref int position,
        int type,
        int size,
        Span<byte> destination,
        int written,
        int blockLimit)
    {
        int packed = type == 1 ? 1 : size;
        Require(packed <= source.Length - position);
        if (size > blockLimit)
        {
            throw Corrupt("block too long");
        }

        int room = destination.Length - written;
        ReadOnlySpan<byte> block = source.Slice(position, packed);
        switch (type)
        {
            case 0 or 1:
                if (size > room)
                {
                    throw CompressionErrors.TooLong("ZSTD");
                }

                if (type == 0)
                {
                    block.CopyTo(destination[written..]);
                }
                else
                {
                    destination.Slice(written, size).Fill(block[0]);
                }

                position += packed;
                return size;
            case 2:
                int limit = Math.Min(room, blockLimit);
                int unpacked = DecodePackedBlock(source, position, packed, destination, written, limit);
                if (unpacked < 0)
                {
                    throw Corrupt(limit == blockLimit ? "bad block" : "bad block, or more bytes than the image states");
                }

                position += packed;
                return unpacked;
            default:
                throw Corrupt("reserved block type");
        }
    }

    private int DecodePackedBlock(
        ReadOnlySpan<byte> source, int position, int packed, Span<byte> destination, int written, int limit)
    {
        ReadOnlySpan<byte> block = source.Slice(position, packed);
        int section = DecodeLiterals(block, out ReadOnlySpan<byte> literals, out bool isInPlace);
        if (section < 0)
        {
            return -1;
        }

        fixed (byte* input = source, buffer = _literals)
        {
            byte* readableEnd = isInPlace ? input + source.Length : buffer + _literals.Length;
            return _sequences.Decode(block[section..], literals, readableEnd, destination, written, limit);
        }
    }

    // RFC 8878, 3.1.1.3.1. Gives the length of the section, or -1 if it is corrupt.
    private int DecodeLiterals(ReadOnlySpan<byte> block, out ReadOnlySpan<byte> literals, out bool isInPlace)
    {
        literals = default;
        isInPlace = false;
        if (block.IsEmpty)
        {
            return -1;
        }

        int type = block[0] & 3;
        int format = (block[0] >> 2) & 3;
        bool isPacked = type >= 2;
        int headerLength = isPacked ? Math.Max(format, 1) + 2 : format switch { 1 => 2, 3 => 3, _ => 1 };
        if (block.Length < headerLength)
        {
            return -1;
        }

        int position = 0;
        ulong header = ReadNumber(block, ref position, headerLength);
        if (!isPacked)
        {
            int size = (int)(header >> (headerLength == 1 ? 3 : 4));
            int stored = type == 0 ? size : 1;
            if (size > MaximumBlock || stored > block.Length - position)
            {
                return -1;
            }

            if (type == 0)
            {
                literals = block.Slice(position, size);
                isInPlace = true;
            }
            else
            {
                _literals.AsSpan(0, size).Fill(block[position]);
                literals = _literals.AsSpan(0, size);
            }

            return position + stored;
        }

        int sizeBits = format switch { 2 => 14, 3 => 18, _ => 10 };
        int mask = (1 << sizeBits) - 1;
        int regenerated = (int)(header >> 4) & mask;
        int packed = (int)(header >> (4 + sizeBits)) & mask;
        if (regenerated > MaximumBlock || packed > block.Length - position)
        {
            return -1;
        }

        ReadOnlySpan<byte> streams = block.Slice(position, packed);
        if (type == 2)
        {
            streams = streams[_huffman.ReadTable(streams)..];
        }
        else if (!_huffman.IsReady)
        {
            return -1;
        }

        Span<byte> buffer = _literals.AsSpan(0, regenerated);
        literals = buffer;
        bool isDecoded = format == 0
            ? _huffman.TryDecodeOne(streams, buffer)
            : _huffman.TryDecodeFour(streams, buffer);
        return isDecoded ? position + packed : -1;
    }
}
