using System.Runtime.CompilerServices;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// The range decoder of LZMA: 11-bit adaptive probabilities, 32-bit range, renewed bytewise. Every decoded bit takes at
/// most one input byte; the owner keeps enough readable bytes behind the input and looks at <see cref="Next"/> itself.
/// </summary>
internal unsafe struct LzmaRangeDecoder
{
    private const uint Top = 1u << 24;
    private const int ModelBits = 11;
    private const uint ModelTotal = 1u << ModelBits;
    private const int MoveBits = 5;

    /// <summary>The next input byte.</summary>
    public byte* Next;

    private uint _range;
    private uint _code;

    /// <summary>Starts on five bytes of input.</summary>
    /// <returns>False if the first byte is not zero, which no encoder writes.</returns>
    public bool Start(byte* input)
    {
        _range = uint.MaxValue;
        _code = ((uint)input[1] << 24) | ((uint)input[2] << 16) | ((uint)input[3] << 8) | input[4];
        Next = input + 5;
        return input[0] == 0;
    }

    /// <summary>Whether a chunk may end here.</summary>
    public bool Finish()
    {
        Normalize();
        return _code == 0;
    }

    /// <summary>Decodes one bit that decides a branch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Bit(ushort* probability)
    {
        Normalize();
        uint p = *probability;
        uint bound = (_range >> ModelBits) * p;
        if (_code < bound)
        {
            _range = bound;
            *probability = (ushort)(p + ((ModelTotal - p) >> MoveBits));
            return false;
        }

        _range -= bound;
        _code -= bound;
        *probability = (ushort)(p - (p >> MoveBits));
        return true;
    }

    /// <summary>Decodes one bit of a value without a branch on it: such bits are too random to be predicted.</summary>
    /// <returns>0 if the bit is 1, all ones if it is 0.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int InvertedMask(ushort* probability)
    {
        Normalize();
        int p = *probability;
        uint bound = (_range >> ModelBits) * (uint)p;
        long rest = (long)_code - bound;
        int mask = (int)(rest >> 63);
        uint upper = _range - bound;
        _range = upper + ((bound - upper) & (uint)mask);
        _code = (uint)rest + (bound & (uint)mask);

        // For a 0 bit the rounded-down step of (total - p) is the same as minus the rounded-up step of (p - total).
        *probability = (ushort)(p - ((p + (mask & ((1 << MoveBits) - 1 - (int)ModelTotal))) >> MoveBits));
        return mask;
    }

    /// <summary>One step down a bit tree.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int TreeStep(ushort* tree, int symbol) => (symbol << 1) + 1 + InvertedMask(tree + symbol);

    /// <summary>Decodes bits that have no model, most significant first, appended to a value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Direct(uint value, int count)
    {
        do
        {
            Normalize();
            _range >>= 1;
            _code -= _range;
            uint mask = 0u - (_code >> 31);
            _code += _range & mask;
            value = (value << 1) + 1 + mask;
        }
        while (--count > 0);
        return value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Normalize()
    {
        if (_range < Top)
        {
            _range <<= 8;
            _code = (_code << 8) | *Next++;
        }
    }
}
