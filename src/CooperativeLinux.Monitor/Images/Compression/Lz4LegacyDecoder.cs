using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// Decodes the legacy LZ4 frame: a magic number, then blocks that each state their packed size, are independent of
/// each other and unpack to at most 8 MiB. The format has no check sum.
/// </summary>
internal static unsafe class Lz4LegacyDecoder
{
    /// <summary>First four bytes, little endian.</summary>
    public const uint Magic = 0x184c2102;

    private const int MaximumBlock = 8 << 20;
    private const int MinimumMatch = 4;

    /// <summary>Decodes all blocks.</summary>
    /// <param name="source">The whole file.</param>
    /// <param name="destination">Receives the output.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="InvalidImageException">Corrupt, truncated, or too long for the destination.</exception>
    public static int Decode(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        if (source.Length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(source) != Magic)
        {
            throw CompressionErrors.Corrupt("LZ4", "no legacy frame header");
        }

        int position = 4;
        int written = 0;
        while (position < source.Length)
        {
            if (source.Length - position < 4)
            {
                throw CompressionErrors.Truncated("LZ4");
            }

            uint size = BinaryPrimitives.ReadUInt32LittleEndian(source[position..]);
            position += 4;
            if (size == Magic)
            {
                continue;
            }

            if (size > (uint)(source.Length - position))
            {
                // The worst packed block is 1/255 longer than its content.
                throw size > MaximumBlock + (MaximumBlock / 255) + 16
                    ? CompressionErrors.Corrupt("LZ4", "bad block size")
                    : CompressionErrors.Truncated("LZ4");
            }

            int room = Math.Min(MaximumBlock, destination.Length - written);
            int unpacked;
            fixed (byte* input = source, output = destination)
            {
                unpacked = DecodeBlock(
                    input + position,
                    input + position + size,
                    input + source.Length,
                    output + written,
                    output + written + room,
                    output + destination.Length);
            }

            if (unpacked < 0)
            {
                throw room < MaximumBlock
                    ? CompressionErrors.Corrupt("LZ4", "bad block, or more bytes than the image states")
                    : CompressionErrors.Corrupt("LZ4", "bad block");
            }

            position += (int)size;
            written += unpacked;
        }

        return written;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int DecodeBlock(
        byte* input, byte* inputEnd, byte* readableEnd, byte* output, byte* outputEnd, byte* memoryEnd)
    {
        // SAFETY: every length is compared with what is left of the block and of the output before its bytes are
        // touched; steps of 16 bytes are taken only where Slack more bytes exist on both sides.
        byte* start = output;
        while (input < inputEnd)
        {
            uint token = *input++;
            nuint literals = token >> 4;
            if (literals == 15 && !TryExtend(ref input, inputEnd, ref literals))
            {
                return -1;
            }

            if (literals > (nuint)(inputEnd - input) || literals > (nuint)(outputEnd - output))
            {
                return -1;
            }

            if (literals + MatchCopy.Slack <= (nuint)(readableEnd - input)
                && literals + MatchCopy.Slack <= (nuint)(memoryEnd - output))
            {
                MatchCopy.CopyLiterals(input, output, literals);
            }
            else
            {
                Unsafe.CopyBlockUnaligned(output, input, (uint)literals);
            }

            input += literals;
            output += literals;
            if (input == inputEnd)
            {
                return (int)(output - start);
            }

            if (inputEnd - input < 2)
            {
                return -1;
            }

            nuint distance = (nuint)(input[0] | (input[1] << 8));
            input += 2;
            nuint length = token & 15;
            if (length == 15 && !TryExtend(ref input, inputEnd, ref length))
            {
                return -1;
            }

            length += MinimumMatch;
            if (distance == 0 || distance > (nuint)(output - start) || length > (nuint)(outputEnd - output))
            {
                return -1;
            }

            MatchCopy.Copy(output, distance, length, memoryEnd);
            output += length;
        }

        return -1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryExtend(ref byte* input, byte* inputEnd, ref nuint length)
    {
        uint more;
        do
        {
            if (input >= inputEnd)
            {
                return false;
            }

            more = *input++;
            length += more;
        }
        while (more == 255);
        return true;
    }
}
