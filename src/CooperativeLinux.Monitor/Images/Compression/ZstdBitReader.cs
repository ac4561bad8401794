using System.Numerics;
using System.Runtime.CompilerServices;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// Reads a ZSTD bit stream, which starts at the highest set bit of its last byte and runs towards its first byte.
/// Between two calls of <see cref="TryRefill"/> at most <see cref="BitsPerRefill"/> bits may be taken.
/// </summary>
internal unsafe struct ZstdBitReader
{
    /// <summary>Bits that are there after a refill.</summary>
    public const int BitsPerRefill = 56;

    /// <summary>Bytes that must be readable in front of every stream.</summary>
    public const int BytesInFront = 8;

    /// <summary>The next bits, from the top down. Below the bits not yet taken there is a single marker bit.</summary>
    public ulong Bits;

    /// <summary>Where <see cref="Bits"/> came from.</summary>
    public byte* Next;

    private byte* _start;

    /// <summary>First byte of the stream.</summary>
    public readonly byte* Start => _start;

    /// <summary>Bits not yet taken; negative if too many were taken.</summary>
    public readonly long Remaining => ((Next - _start) * 8) + 64 - BitOperations.TrailingZeroCount(Bits);

    /// <summary>Starts at the end of a stream; false if it is empty or has no end mark.</summary>
    public bool TryStart(byte* start, byte* end)
    {
        if (end <= start || end[-1] == 0)
        {
            return false;
        }

        // SAFETY: BytesInFront bytes are readable in front of the stream, so this is never outside the source.
        _start = start;
        Next = end - 8;
        ulong bits = Unsafe.ReadUnaligned<ulong>(Next);
        Bits = (bits | 1) << (BitOperations.LeadingZeroCount(bits) + 1);
        return true;
    }

    /// <summary>Makes room for the next bits; false if more were taken than there are.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryRefill()
    {
        int taken = BitOperations.TrailingZeroCount(Bits);
        Next -= taken >> 3;
        if (Next < _start - BytesInFront)
        {
            return false;
        }

        Bits = (Unsafe.ReadUnaligned<ulong>(Next) | 1) << (taken & 7);
        return true;
    }

    /// <summary>Takes 0 to 32 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Take(int count)
    {
        uint value = (uint)((Bits >> 1) >> (63 - count));
        Bits <<= count;
        return value;
    }
}
