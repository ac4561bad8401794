using System.Runtime.CompilerServices;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>
/// Decodes LZMA chunks (the coding inside LZMA2) into a buffer that is its own dictionary. State lives on from
/// chunk to chunk until it is reset.
/// </summary>
internal sealed unsafe class LzmaDecoder
{
    /// <summary>Bytes that must be readable behind a chunk: more than the bits of the longest symbol.</summary>
    public const int InputSlack = 64;

    private const int PositionStates = 16;
    private const int States = 12;
    private const int FirstStateAfterMatch = 7;
    private const ushort InitialProbability = 1024;
    private const uint MinimumMatch = 2;

    // One array holds all probabilities; these are the indices of its parts.
    private const int IsMatch = 0;
    private const int IsRepeat = IsMatch + (States * PositionStates);
    private const int IsRepeat0 = IsRepeat + States;
    private const int IsRepeat1 = IsRepeat0 + States;
    private const int IsRepeat2 = IsRepeat1 + States;
    private const int IsLongRepeat0 = IsRepeat2 + States;
    private const int DistanceSlots = IsLongRepeat0 + (States * PositionStates);
    private const int SpecialDistances = DistanceSlots + (4 * 64);
    private const int DistanceAlign = SpecialDistances + 128;
    private const int MatchLength = DistanceAlign + 16;
    private const int RepeatLength = MatchLength + LengthCoderSize;
    private const int Literals = RepeatLength + LengthCoderSize;
    private const int LiteralCoderSize = 0x300;

    // Parts of a length coder.
    private const int LengthLow = 2;
    private const int LengthMiddle = LengthLow + (PositionStates * 8);
    private const int LengthHigh = LengthMiddle + (PositionStates * 8);
    private const int LengthCoderSize = LengthHigh + 256;

    private const int MaximumLiteralBits = 4;

    private readonly ushort[] _probabilities = new ushort[Literals + (LiteralCoderSize << MaximumLiteralBits)];
    private int _literalContextBits;
    private uint _literalPositionMask;
    private uint _positionMask;
    private uint _state;
    private uint _distance0;
    private uint _distance1;
    private uint _distance2;
    private uint _distance3;

    /// <summary>Takes new properties: (pb * 5 + lp) * 9 + lc.</summary>
    /// <returns>Whether they are allowed in LZMA2 (lc + lp at most 4).</returns>
    public bool SetProperties(byte value)
    {
        int literalContextBits = value % 9;
        int literalPositionBits = value / 9 % 5;
        int positionBits = value / 45;
        if (positionBits > 4 || literalContextBits + literalPositionBits > MaximumLiteralBits)
        {
            return false;
        }

        _literalContextBits = literalContextBits;
        _literalPositionMask = (1u << literalPositionBits) - 1;
        _positionMask = (1u << positionBits) - 1;
        return true;
    }

    /// <summary>Forgets what was learned.</summary>
    public void ResetState()
    {
        Array.Fill(_probabilities, InitialProbability);
        _state = 0;
        _distance0 = 0;
        _distance1 = 0;
        _distance2 = 0;
        _distance3 = 0;
    }

    /// <summary>Decodes one chunk that fills its output exactly.</summary>
    /// <param name="input">At least 5 bytes.</param>
    /// <param name="inputEnd">End of the chunk; <see cref="InputSlack"/> more bytes are readable.</param>
    /// <param name="dictionary">First output byte since the dictionary was reset.</param>
    /// <param name="output">Where the chunk's output starts.</param>
    /// <param name="outputEnd">Where it ends.</param>
    /// <param name="memoryEnd">End of the writable buffer, at or behind <paramref name="outputEnd"/>.</param>
    /// <returns>False if the chunk is corrupt.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool TryDecode(
        byte* input, byte* inputEnd, byte* dictionary, byte* output, byte* outputEnd, byte* memoryEnd)
    {
        // SAFETY: input is looked at once per symbol, of which none takes more than InputSlack bytes; distances and
        // lengths are compared with the output written and the output left before each copy; all probability
        // indices derive from masked state and from bit trees of fixed depth.
        LzmaRangeDecoder range = default;
        if (!range.Start(input))
        {
            return false;
        }

        uint state = _state;
        uint distance0 = _distance0;
        uint positionMask = _positionMask;
        uint literalPositionMask = _literalPositionMask;
        int literalContextBits = _literalContextBits;
        fixed (ushort* model = _probabilities)
        {
            while (output < outputEnd)
            {
                if (range.Next > inputEnd)
                {
                    return false;
                }

                uint position = (uint)(output - dictionary);
                uint positionState = position & positionMask;
                if (!range.Bit(model + IsMatch + (state * PositionStates) + positionState))
                {
                    uint previous = output > dictionary ? output[-1] : 0u;
                    uint context = ((position & literalPositionMask) << literalContextBits)
                        + (previous >> (8 - literalContextBits));
                    ushort* literal = model + Literals + (LiteralCoderSize * context);
                    int symbol = 1;
                    if (state < FirstStateAfterMatch)
                    {
                        do
                        {
                            symbol = range.TreeStep(literal, symbol);
                        }
                        while (symbol < 0x100);
                        state = state < 4 ? 0 : state - 3;
                    }
                    else
                    {
                        if (distance0 >= position)
                        {
                            return false;
                        }

                        // The byte at the last distance selects the model until the literal differs from it.
                        int expected = output[-(nint)distance0 - 1];
                        int offset = 0x100;
                        do
                        {
                            expected <<= 1;
                            int expectedBit = expected & offset;
                            int mask = range.InvertedMask(literal + offset + expectedBit + symbol);
                            symbol = (symbol << 1) + 1 + mask;
                            offset &= expectedBit ^ mask;
                        }
                        while (symbol < 0x100);
                        state -= state < 10 ? 3u : 6u;
                    }

                    *output++ = (byte)symbol;
                    continue;
                }

                ushort* lengthModel;
                if (!range.Bit(model + IsRepeat + state))
                {
                    _distance3 = _distance2;
                    _distance2 = _distance1;
                    _distance1 = distance0;
                    lengthModel = model + MatchLength;
                }
                else
                {
                    if (!range.Bit(model + IsRepeat0 + state))
                    {
                        if (!range.Bit(model + IsLongRepeat0 + (state * PositionStates) + positionState))
                        {
                            if (distance0 >= position)
                            {
                                return false;
                            }

                            state = state < FirstStateAfterMatch ? 9u : 11u;
                            *output = output[-(nint)distance0 - 1];
                            output++;
                            continue;
                        }
                    }
                    else if (!range.Bit(model + IsRepeat1 + state))
                    {
                        (distance0, _distance1) = (_distance1, distance0);
                    }
                    else
                    {
                        uint distance;
                        if (!range.Bit(model + IsRepeat2 + state))
                        {
                            distance = _distance2;
                        }
                        else
                        {
                            distance = _distance3;
                            _distance3 = _distance2;
                        }

                        _distance2 = _distance1;
                        _distance1 = distance0;
                        distance0 = distance;
                    }

                    lengthModel = model + RepeatLength;
                }

                uint length;
                if (!range.Bit(lengthModel))
                {
                    ushort* tree = lengthModel + LengthLow + (positionState * 8);
                    int symbol = range.TreeStep(tree, 1);
                    symbol = range.TreeStep(tree, symbol);
                    symbol = range.TreeStep(tree, symbol);
                    length = MinimumMatch + (uint)symbol - 8;
                }
                else if (!range.Bit(lengthModel + 1))
                {
                    ushort* tree = lengthModel + LengthMiddle + (positionState * 8);
                    int symbol = range.TreeStep(tree, 1);
                    symbol = range.TreeStep(tree, symbol);
                    symbol = range.TreeStep(tree, symbol);
                    length = MinimumMatch + 8 + (uint)symbol - 8;
                }
                else
                {
                    int symbol = 1;
                    do
                    {
                        symbol = range.TreeStep(lengthModel + LengthHigh, symbol);
                    }
                    while (symbol < 0x100);
                    length = MinimumMatch + 16 + (uint)symbol - 0x100;
                }

                if (lengthModel == model + MatchLength)
                {
                    state = state < FirstStateAfterMatch ? 7u : 10u;
                    distance0 = DecodeDistance(ref range, model, Math.Min(length - MinimumMatch, 3));
                }
                else
                {
                    state = state < FirstStateAfterMatch ? 8u : 11u;
                }

                if (distance0 >= position || length > (nuint)(outputEnd - output))
                {
                    return false;
                }

                MatchCopy.Copy(output, (nuint)distance0 + 1, length, memoryEnd);
                output += length;
            }
        }

        _state = state;
        _distance0 = distance0;
        return range.Finish() && range.Next == inputEnd;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint DecodeDistance(ref LzmaRangeDecoder range, ushort* model, uint lengthState)
    {
        ushort* slots = model + DistanceSlots + (lengthState * 64);
        int slot = 1;
        do
        {
            slot = range.TreeStep(slots, slot);
        }
        while (slot < 64);
        slot -= 64;
        if (slot < 4)
        {
            return (uint)slot;
        }

        int footerBits = (slot >> 1) - 1;
        uint distance = 2u | ((uint)slot & 1);
        ushort* tree;
        if (slot < 14)
        {
            // The trees of the slots lie one behind the other: each starts where its smallest distance says.
            distance <<= footerBits;
            tree = model + SpecialDistances + distance - (uint)slot;
        }
        else
        {
            distance = range.Direct(distance, footerBits - 4) << 4;
            tree = model + DistanceAlign;
            footerBits = 4;
        }

        int symbol = 1;
        for (int bit = 0; bit < footerBits; bit++)
        {
            int mask = range.InvertedMask(tree + symbol);
            symbol = (symbol << 1) + 1 + mask;
            distance += (uint)(1 + mask) << bit;
        }

        return distance;
    }
}
