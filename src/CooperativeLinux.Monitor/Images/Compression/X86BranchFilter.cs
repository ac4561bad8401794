using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// The x86 branch filter of XZ, decoding direction: the encoder turned the relative targets of CALL and JMP (E8, E9)
/// into absolute ones so that calls of one function look alike; this turns them back.
/// </summary>
internal static class X86BranchFilter
{
    // An opcode byte and its 32-bit operand.
    private const int InstructionLength = 5;

    /// <summary>Decodes a whole block in place.</summary>
    /// <param name="data">All output of the block.</param>
    /// <param name="startOffset">Address of its first byte in the filter's view, usually 0.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Decode(Span<byte> data, uint startOffset)
    {
        // Bit n of `skipped`: the byte n + 1 back is an opcode that stayed as it was, so the current one may be part
        // of its operand. The encoder converts then only in the cases below, and the decoder decides alike.
        uint skipped = 0;
        int end = data.Length - InstructionLength + 1;
        int previous = -1;
        int position = FindOpcode(data, 0, end);
        while (position < end)
        {
            int gap = position - previous;
            previous = position;
            skipped = gap > 3 ? 0 : (skipped << (gap - 1)) & 7;
            int depth = 32 - BitOperations.LeadingZeroCount(skipped);
            bool isConverted = IsSign(data[position + 4])
                && (skipped == 0 || (BitOperations.IsPow2(skipped) && !IsSign(data[position + 4 - depth])));
            if (!isConverted)
            {
                skipped = (skipped << 1) | 1;
                position = FindOpcode(data, position + 1, end);
                continue;
            }

            Span<byte> operand = data.Slice(position + 1, 4);
            uint here = startOffset + (uint)position + InstructionLength;
            uint relative = BinaryPrimitives.ReadUInt32LittleEndian(operand) - here;
            if (skipped != 0 && IsSign((byte)(relative >> (24 - (depth * 8)))))
            {
                // The encoder went a second round, to keep the byte that decides above from being a sign byte.
                relative = (relative ^ ((1u << (32 - (depth * 8))) - 1)) - here;
            }

            // The operand is kept to 25 bits, sign extended.
            BinaryPrimitives.WriteUInt32LittleEndian(operand, (uint)((int)(relative << 7) >> 7));
            skipped = 0;
            position = FindOpcode(data, position + InstructionLength, end);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int FindOpcode(Span<byte> data, int position, int end)
    {
        ref byte first = ref MemoryMarshal.GetReference(data);
        while (position <= end - Vector256<byte>.Count)
        {
            Vector256<byte> bytes = Vector256.LoadUnsafe(ref first, (nuint)position) & Vector256.Create((byte)0xfe);
            uint found = Vector256.Equals(bytes, Vector256.Create((byte)0xe8)).ExtractMostSignificantBits();
            if (found != 0)
            {
                return position + BitOperations.TrailingZeroCount(found);
            }

            position += Vector256<byte>.Count;
        }

        while (position < end && (data[position] & 0xfe) != 0xe8)
        {
            position++;
        }

        return position;
    }

    private static bool IsSign(byte value) => value is 0 or 0xff;
}
