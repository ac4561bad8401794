using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Hashing;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>Decodes a gzip file of one member (RFC 1952), the only kind of which the length is known before.</summary>
internal static class GzipDecoder
{
    /// <summary>First three bytes: the magic number and the method, deflate.</summary>
    public static ReadOnlySpan<byte> Magic => [0x1f, 0x8b, 8];

    private const int HeaderLength = 10;
    private const int TrailerLength = 8;
    private const int MaximumRatio = 1032;
    private const byte HeaderCheckFlag = 2;
    private const byte ExtraFlag = 4;
    private const byte NameFlag = 8;
    private const byte CommentFlag = 16;

    /// <summary>Decodes the whole file.</summary>
    /// <param name="source">The file.</param>
    /// <param name="limit">Largest output accepted.</param>
    /// <exception cref="InvalidImageException">Corrupt, truncated, or too long.</exception>
    public static unsafe byte[] Decode(ReadOnlySpan<byte> source, int limit)
    {
        int header = SkipHeader(source);
        if (source.Length - header < TrailerLength)
        {
            throw CompressionErrors.Truncated("gzip");
        }

        ReadOnlySpan<byte> trailer = source[^TrailerLength..];
        uint check = BinaryPrimitives.ReadUInt32LittleEndian(trailer);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(trailer[4..]);
        ReadOnlySpan<byte> packed = source[header..^TrailerLength];

        // Deflate cannot pack better than this: a truncated file, which shows as a random length, allocates little.
        if (length > limit || length > ((ulong)packed.Length + 1) * MaximumRatio)
        {
            throw CompressionErrors.Corrupt("gzip", "truncated, or a bad length");
        }

        byte[] output = GC.AllocateUninitializedArray<byte>((int)length);
        int written;
        bool isLonger;
        try
        {
            fixed (byte* input = packed)
            {
                using UnmanagedMemoryStream stream = new(input, packed.Length);
                using DeflateStream deflate = new(stream, CompressionMode.Decompress);
                written = deflate.ReadAtLeast(output, output.Length, throwOnEndOfStream: false);
                isLonger = deflate.ReadByte() >= 0;
            }
        }
        catch (InvalidDataException exception)
        {
            throw new InvalidImageException(CompressionErrors.Corrupt("gzip", "bad block").Message, exception);
        }

        if (written != output.Length || isLonger || Crc32.HashToUInt32(output) != check)
        {
            throw CompressionErrors.Corrupt("gzip", "truncated, or check sum of the data");
        }

        return output;
    }

    private static int SkipHeader(ReadOnlySpan<byte> source)
    {
        if (source.Length < HeaderLength)
        {
            throw CompressionErrors.Truncated("gzip");
        }

        byte flags = source[3];
        int position = HeaderLength;
        if ((flags & ExtraFlag) != 0)
        {
            if (source.Length < position + 2)
            {
                throw CompressionErrors.Truncated("gzip");
            }

            position += 2 + BinaryPrimitives.ReadUInt16LittleEndian(source[position..]);
        }

        int texts = ((flags & NameFlag) != 0 ? 1 : 0) + ((flags & CommentFlag) != 0 ? 1 : 0);
        for (int text = 0; text < texts; text++)
        {
            int end = position < source.Length ? source[position..].IndexOf((byte)0) : -1;
            if (end < 0)
            {
                throw CompressionErrors.Truncated("gzip");
            }

            position += end + 1;
        }

        position += (flags & HeaderCheckFlag) != 0 ? 2 : 0;
        return position <= source.Length ? position : throw CompressionErrors.Truncated("gzip");
    }
}
