using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// Copies of earlier output and of literals, as all dictionary coders here need them: forward, overlapping copies
/// repeat their pattern, in steps of 16 bytes that may write beyond the end of the copy but never beyond the buffer.
/// </summary>
internal static unsafe class MatchCopy
{
    /// <summary>How far a fast copy may read or write beyond its end.</summary>
    public const int Slack = 32;

    // Row d: the first 16 bytes of a pattern of d bytes repeated (row 0 is not used).
    private static ReadOnlySpan<byte> Patterns =>
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1,
        0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0,
        0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
        0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0,
        0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3,
        0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1,
        0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 1, 2, 3, 4,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 1, 2,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0, 1,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0,
    ];

    // The largest multiple of d that is no more than 16.
    private static ReadOnlySpan<byte> Steps => [16, 16, 16, 15, 16, 15, 12, 14, 16, 9, 10, 11, 12, 13, 14, 15];

    /// <summary>Repeats earlier output at <paramref name="output"/>.</summary>
    /// <param name="output">Where the copy goes.</param>
    /// <param name="distance">How far back it comes from; at least 1, and that much output exists.</param>
    /// <param name="length">Bytes, no more than there are up to <paramref name="memoryEnd"/>.</param>
    /// <param name="memoryEnd">End of the writable buffer.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(byte* output, nuint distance, nuint length, byte* memoryEnd)
    {
        // SAFETY: the caller guarantees distance and length; the steps below exceed the end by less than Slack.
        if ((nuint)(memoryEnd - output) < length + Slack)
        {
            CopyExactly(output, distance, length);
            return;
        }

        byte* source = output - distance;
        if (distance >= 16)
        {
            byte* end = output + length;
            do
            {
                Vector128.Store(Vector128.Load(source), output);
                source += 16;
                output += 16;
            }
            while (output < end);
            return;
        }

        CopyPattern(output, distance, length);
    }

    /// <summary>Copies bytes that do not overlap, in steps of 16; both sides have <see cref="Slack"/> more bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CopyLiterals(byte* source, byte* output, nuint length)
    {
        byte* end = output + length;
        do
        {
            Vector128.Store(Vector128.Load(source), output);
            source += 16;
            output += 16;
        }
        while (output < end);
    }

    private static void CopyPattern(byte* output, nuint distance, nuint length)
    {
        if (!Ssse3.IsSupported)
        {
            CopyExactly(output, distance, length);
            return;
        }

        byte* end = output + length;
        Vector128<byte> indices = Vector128.LoadUnsafe(ref MemoryMarshal.GetReference(Patterns), distance * 16);
        Vector128<byte> pattern = Ssse3.Shuffle(Vector128.Load(output - distance), indices);
        nuint step = Steps[(int)distance];
        do
        {
            Vector128.Store(pattern, output);
            output += step;
        }
        while (output < end);
    }

    private static void CopyExactly(byte* output, nuint distance, nuint length)
    {
        for (nuint i = 0; i < length; i++)
        {
            output[i] = (output - distance)[i];
        }
    }
}
