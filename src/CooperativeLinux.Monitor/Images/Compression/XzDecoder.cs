using System.Buffers.Binary;
using System.IO.Hashing;
using System.Security.Cryptography;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// Decodes XZ files: streams of blocks with LZMA2 data, optionally behind the x86 branch filter, and checks all their
/// check sums. Layout: "The .xz File Format", version 1.2.
/// </summary>
internal sealed class XzDecoder
{
    /// <summary>Bytes that start every stream.</summary>
    public static ReadOnlySpan<byte> Magic => [0xfd, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0];

    private const int StreamHeaderLength = 12;
    private const int FooterLength = 12;
    private const ulong Lzma2FilterId = 0x21;
    private const ulong X86FilterId = 0x04;
    private const byte CheckNone = 0;
    private const byte CheckCrc32 = 1;
    private const byte CheckCrc64 = 4;
    private const byte CheckSha256 = 10;

    private readonly Lzma2Decoder _lzma2 = new();
    private readonly List<(long Unpadded, long Unpacked)> _blocks = [];
    private Crc64? _crc64;
    private byte _check;

    /// <summary>Decodes all streams.</summary>
    /// <param name="source">The whole file.</param>
    /// <param name="destination">Receives the output.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="InvalidImageException">Corrupt, truncated, unsupported, or too long for the destination.</exception>
    public int Decode(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        int written = 0;
        do
        {
            written += DecodeStream(ref source, destination[written..]);
            while (source.Length >= 4 && BinaryPrimitives.ReadUInt32LittleEndian(source) == 0)
            {
                source = source[4..];
            }
        }
        while (!source.IsEmpty);
        return written;
    }

    private static ulong ReadNumber(ReadOnlySpan<byte> source, ref int position)
    {
        ulong value = 0;
        for (int shift = 0; shift < 63; shift += 7)
        {
            if (position >= source.Length)
            {
                throw Truncated();
            }

            byte part = source[position++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80)
            {
                if (part == 0 && shift != 0)
                {
                    break;
                }

                return value;
            }
        }

        throw Corrupt("bad number");
    }

    private static void RequireCrc32(ReadOnlySpan<byte> data, ReadOnlySpan<byte> check, string where)
    {
        if (Crc32.HashToUInt32(data) != BinaryPrimitives.ReadUInt32LittleEndian(check))
        {
            throw Corrupt($"check sum of the {where}");
        }
    }

    private static void RequireZeros(ReadOnlySpan<byte> padding)
    {
        if (padding.ContainsAnyExcept((byte)0))
        {
            throw Corrupt("bad padding");
        }
    }

    private static InvalidImageException Corrupt(string detail) => CompressionErrors.Corrupt("XZ", detail);

    private static InvalidImageException Truncated() => CompressionErrors.Truncated("XZ");

    private int DecodeStream(ref ReadOnlySpan<byte> source, Span<byte> destination)
    {
        if (source.Length < StreamHeaderLength)
        {
            throw Truncated();
        }

        if (!source.StartsWith(Magic))
        {
            throw Corrupt("no stream header");
        }

        RequireCrc32(source.Slice(6, 2), source[8..], "stream header");
        ushort streamFlags = BinaryPrimitives.ReadUInt16LittleEndian(source[6..]);
        _check = source[7];
        if (source[6] != 0 || _check is not (CheckNone or CheckCrc32 or CheckCrc64 or CheckSha256))
        {
            throw CompressionErrors.Unsupported("XZ", $"check type 0x{streamFlags:x}");
        }

        source = source[StreamHeaderLength..];
        _blocks.Clear();
        int written = 0;
        while (true)
        {
            if (source.IsEmpty)
            {
                throw Truncated();
            }

            if (source[0] == 0)
            {
                break;
            }

            int unpacked = DecodeBlock(source, destination[written..], out int unpadded);
            _blocks.Add((unpadded, unpacked));
            written += unpacked;
            source = source[((unpadded + 3) & ~3)..];
        }

        int indexLength = CheckIndex(source);
        source = source[indexLength..];
        if (source.Length < FooterLength)
        {
            throw Truncated();
        }

        RequireCrc32(source.Slice(4, 6), source, "stream footer");
        if (source[10] != 'Y' || source[11] != 'Z'
            || BinaryPrimitives.ReadUInt16LittleEndian(source[8..]) != streamFlags
            || (BinaryPrimitives.ReadUInt32LittleEndian(source[4..]) + 1L) * 4 != indexLength)
        {
            throw Corrupt("bad stream footer");
        }

        source = source[FooterLength..];
        return written;
    }

    private int DecodeBlock(ReadOnlySpan<byte> source, Span<byte> destination, out int unpadded)
    {
        int headerLength = (source[0] + 1) * 4;
        if (headerLength > source.Length)
        {
            throw Truncated();
        }

        ReadOnlySpan<byte> header = source[..(headerLength - 4)];
        RequireCrc32(header, source[(headerLength - 4)..], "block header");
        byte flags = header[1];
        int position = 2;
        ulong? statedPacked = (flags & 0x40) != 0 ? ReadNumber(header, ref position) : null;
        ulong? statedUnpacked = (flags & 0x80) != 0 ? ReadNumber(header, ref position) : null;
        bool isBranchFiltered = false;
        uint startOffset = 0;
        int filters = (flags & 3) + 1;
        for (int filter = 1; filter <= filters; filter++)
        {
            ulong id = ReadNumber(header, ref position);
            ulong length = ReadNumber(header, ref position);
            if (length > (ulong)(header.Length - position))
            {
                throw Corrupt("bad block header");
            }

            bool isLast = filter == filters;
            if (id == X86FilterId && filter == 1 && !isLast && length is 0 or 4)
            {
                isBranchFiltered = true;
                startOffset = length == 0 ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(header[position..]);
            }
            else if (id != Lzma2FilterId || !isLast || length != 1)
            {
                throw CompressionErrors.Unsupported("XZ", $"filter 0x{id:x} or an odd order of filters");
            }

            position += (int)length;
        }

        if ((flags & 0x3c) != 0)
        {
            throw CompressionErrors.Unsupported("XZ", "reserved block flags");
        }

        RequireZeros(header[position..]);
        source = source[headerLength..];
        int unpacked = _lzma2.Decode(source, destination, out int packed);
        if ((statedPacked ?? (ulong)packed) != (ulong)packed || (statedUnpacked ?? (ulong)unpacked) != (ulong)unpacked)
        {
            throw Corrupt("block sizes differ from the header");
        }

        Span<byte> block = destination[..unpacked];
        if (isBranchFiltered)
        {
            X86BranchFilter.Decode(block, startOffset);
        }

        int paddedLength = (packed + 3) & ~3;
        int checkLength = _check switch { CheckNone => 0, CheckCrc32 => 4, CheckCrc64 => 8, _ => 32 };
        if (paddedLength + checkLength > source.Length)
        {
            throw Truncated();
        }

        RequireZeros(source[packed..paddedLength]);
        if (!IsCheckRight(block, source.Slice(paddedLength, checkLength)))
        {
            throw Corrupt("check sum of the data");
        }

        unpadded = headerLength + packed + checkLength;
        return unpacked;
    }

    private bool IsCheckRight(ReadOnlySpan<byte> block, ReadOnlySpan<byte> check)
    {
        switch (_check)
        {
            case CheckNone:
                return true;
            case CheckCrc32:
                return Crc32.HashToUInt32(block) == BinaryPrimitives.ReadUInt32LittleEndian(check);
            case CheckCrc64:
                _crc64 ??= new Crc64();
                return _crc64.Compute(block) == BinaryPrimitives.ReadUInt64LittleEndian(check);
            default:
                return SHA256.HashData(block).AsSpan().SequenceEqual(check);
        }
    }

    private int CheckIndex(ReadOnlySpan<byte> source)
    {
        int position = 1;
        ulong records = ReadNumber(source, ref position);
        if (records != (ulong)_blocks.Count)
        {
            throw Corrupt("the index has another number of blocks");
        }

        foreach ((long unpadded, long unpacked) in _blocks)
        {
            ulong statedUnpadded = ReadNumber(source, ref position);
            ulong statedUnpacked = ReadNumber(source, ref position);
            if (statedUnpadded != (ulong)unpadded || statedUnpacked != (ulong)unpacked)
            {
                throw Corrupt("the index has other block sizes");
            }
        }

        int length = (position + 3) & ~3;
        if (length + 4 > source.Length)
        {
            throw Truncated();
        }

        RequireZeros(source[position..length]);
        RequireCrc32(source[..length], source[length..], "index");
        return length + 4;
    }
}
