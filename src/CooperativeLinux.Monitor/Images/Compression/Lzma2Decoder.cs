namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>Decodes LZMA2: chunks of LZMA or of plain bytes, each with its sizes and resets.</summary>
internal sealed unsafe class Lzma2Decoder
{
    private const byte EndMarker = 0;
    private const byte PlainResettingDictionary = 1;
    private const byte Plain = 2;
    private const byte FirstLzma = 0x80;
    private const byte FirstResettingState = 0xa0;
    private const byte FirstWithProperties = 0xc0;
    private const byte FirstResettingDictionary = 0xe0;

    // The longest LZMA chunk; used where the input ends too soon behind a chunk for the decoder's look-ahead.
    private readonly byte[] _paddedChunk = new byte[(1 << 16) + LzmaDecoder.InputSlack];
    private readonly LzmaDecoder _lzma = new();

    /// <summary>Decodes one LZMA2 sequence up to its end marker.</summary>
    /// <param name="source">Starts with the sequence; what follows it is left alone.</param>
    /// <param name="destination">Receives the output; earlier bytes in it are not referred to.</param>
    /// <param name="consumed">Bytes taken from the source.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="InvalidImageException">Corrupt, truncated, or too long for the destination.</exception>
    public int Decode(ReadOnlySpan<byte> source, Span<byte> destination, out int consumed)
    {
        fixed (byte* input = source, output = destination)
        {
            int position = 0;
            int written = 0;
            int dictionary = 0;
            bool needsDictionary = true;
            bool needsProperties = true;
            bool needsState = true;
            while (true)
            {
                byte control = At(source, position++);
                if (control == EndMarker)
                {
                    consumed = position;
                    return written;
                }

                if (control == PlainResettingDictionary || control >= FirstResettingDictionary)
                {
                    needsDictionary = false;
                    needsProperties = true;
                    dictionary = written;
                }
                else if (needsDictionary)
                {
                    throw Corrupt("the first chunk does not reset the dictionary");
                }

                if (control < FirstLzma)
                {
                    if (control > Plain)
                    {
                        throw Corrupt("unknown chunk type");
                    }

                    int length = ((At(source, position) << 8) | At(source, position + 1)) + 1;
                    position += 2;
                    Require(length <= source.Length - position);
                    RequireRoom(length <= destination.Length - written);
                    source.Slice(position, length).CopyTo(destination[written..]);
                    position += length;
                    written += length;
                    continue;
                }

                int size = (((control & 0x1f) << 16) | (At(source, position) << 8) | At(source, position + 1)) + 1;
                int packed = ((At(source, position + 2) << 8) | At(source, position + 3)) + 1;
                position += 4;
                if (control >= FirstWithProperties)
                {
                    if (!_lzma.SetProperties(At(source, position++)))
                    {
                        throw Corrupt("bad properties");
                    }

                    needsProperties = false;
                    needsState = false;
                    _lzma.ResetState();
                }
                else if (needsProperties)
                {
                    throw Corrupt("a chunk has no properties");
                }
                else if (control >= FirstResettingState)
                {
                    needsState = false;
                    _lzma.ResetState();
                }

                Require(packed <= source.Length - position);
                RequireRoom(size <= destination.Length - written);
                if (needsState || packed < 5)
                {
                    throw Corrupt("bad chunk");
                }

                byte* from = output + written;
                byte* memoryEnd = output + destination.Length;
                bool isValid;
                if (source.Length - position - packed >= LzmaDecoder.InputSlack)
                {
                    byte* chunk = input + position;
                    isValid = _lzma.TryDecode(chunk, chunk + packed, output + dictionary, from, from + size, memoryEnd);
                }
                else
                {
                    source.Slice(position, packed).CopyTo(_paddedChunk);
                    fixed (byte* chunk = _paddedChunk)
                    {
                        isValid = _lzma.TryDecode(
                            chunk, chunk + packed, output + dictionary, from, from + size, memoryEnd);
                    }
                }

                if (!isValid)
                {
                    throw Corrupt("bad LZMA chunk");
                }

                position += packed;
                written += size;
            }
        }
    }

    private static byte At(ReadOnlySpan<byte> source, int position)
    {
        Require(position < source.Length);
        return source[position];
    }

    private static void Require(bool isThere)
    {
        if (!isThere)
        {
            throw CompressionErrors.Truncated("XZ");
        }
    }

    private static void RequireRoom(bool isThere)
    {
        if (!isThere)
        {
            throw CompressionErrors.TooLong("XZ");
        }
    }

    private static InvalidImageException Corrupt(string detail) => CompressionErrors.Corrupt("XZ", detail);
}
