using System.Buffers.Binary;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>How bytes are meant, so that the values at which such operations change their behaviour are likely.</summary>
internal enum ElementStyle
{
    Bytes,
    Integers16,
    Integers32,
    Integers64,
    Singles,
    Doubles,
    Halves,
    Extended,
}

/// <summary>Edge values and random values.</summary>
internal sealed class ValueSource(Rng rng)
{
    private static readonly ulong[] Edges =
    [
        0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, ulong.MaxValue, ulong.MaxValue - 1, 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_7FFF_FFFF,
        0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA,
    ];

    private static readonly uint[] SingleEdges =
    [
        0, 0x8000_0000, 0x3F80_0000, 0xBF80_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC0_0001, 0x7F80_0001, 0xFFBF_FFFF, 1, 0x8000_0001, 0x007F_FFFF,
        0x0080_0000, 0x7F7F_FFFF, 0x4F00_0000, 0xCF00_0000, 0x5F00_0000, 0x3F00_0000, 0x3FC0_0000, 0x4020_0000, 0x4B00_0001,
    ];

    private static readonly ulong[] DoubleEdges =
    [
        0, 0x8000_0000_0000_0000, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000,
        0xFFF8_0000_0000_0001, 0x7FF0_0000_0000_0001, 1, 0x8000_0000_0000_0001, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF,
        0x41E0_0000_0000_0000, 0xC1E0_0000_0020_0000, 0x43E0_0000_0000_0000, 0x3FE0_0000_0000_0000, 0x3FF8_0000_0000_0000, 0x380F_FFFF_E000_0000,
    ];

    private static readonly (ushort Exponent, ulong Mantissa)[] ExtendedEdges =
    [
        (0, 0), (0x8000, 0), (0x3FFF, 1ul << 63), (0xBFFF, 1ul << 63), (0x7FFF, 1ul << 63), (0xFFFF, 1ul << 63), (0x7FFF, 3ul << 62), (0x7FFF, (1ul << 63) | 1),
        (0, 1), (0, 1ul << 63), (1, 1ul << 63), (0x7FFE, ulong.MaxValue), (0x4000, 0xC90F_DAA2_2168_C235), (0x3FFE, 1ul << 63), (0x403E, 1ul << 63),
        (0x3FFF, 1), (0x401E, 0xFFFF_FFFF_0000_0000), (0xC03E, 1ul << 63), (0x3F00, 0xDEAD_BEEF_0000_0001),
    ];

    /// <summary>A value for a 64-bit register.</summary>
    public ulong Register() => rng.Below(8) switch
    {
        < 3 => rng.Pick<ulong>(Edges),
        3 => (ulong)rng.Below(300),
        4 => rng.Next() >> rng.Below(64),
        5 => (uint)rng.Next(),
        6 => (ulong)(long)(sbyte)rng.Next(),
        _ => rng.Next(),
    };

    /// <summary>An immediate of at most 64 bits; the caller cuts it.</summary>
    public ulong Immediate() => rng.Chance(3) ? (ulong)rng.Below(70) : Register();

    /// <summary>Style that fits the elements of a memory operand.</summary>
    public ElementStyle StyleFor(MemorySize size) => size.GetElementType() switch
    {
        MemorySize.Float32 => ElementStyle.Singles,
        MemorySize.Float64 => ElementStyle.Doubles,
        MemorySize.Float16 => ElementStyle.Halves,
        MemorySize.Float80 => ElementStyle.Extended,
        MemorySize.UInt8 or MemorySize.Int8 => ElementStyle.Bytes,
        MemorySize.UInt16 or MemorySize.Int16 => ElementStyle.Integers16,
        MemorySize.UInt32 or MemorySize.Int32 => ElementStyle.Integers32,
        _ => (ElementStyle)rng.Below((int)ElementStyle.Extended),
    };

    /// <summary>Fills a vector register or memory.</summary>
    public void Fill(Span<byte> bytes, ElementStyle style)
    {
        int step = style switch
        {
            ElementStyle.Bytes => 1,
            ElementStyle.Integers16 or ElementStyle.Halves => 2,
            ElementStyle.Integers32 or ElementStyle.Singles => 4,
            ElementStyle.Extended => 10,
            _ => 8,
        };
        Span<byte> element = stackalloc byte[16];
        for (int i = 0; i < bytes.Length; i += step)
        {
            Element(element, style);
            element[..Math.Min(step, bytes.Length - i)].CopyTo(bytes[i..]);
        }
    }

    /// <summary>An fxsave image of the x87 state with values in some registers.</summary>
    /// <param name="image">512 bytes.</param>
    /// <param name="asMmx">All registers valid, integers in them.</param>
    public void FillX87(Span<byte> image, bool asMmx)
    {
        image.Clear();
        ushort control = (ushort)(rng.Chance(3) ? 0x7F | (rng.Pick<int>([0, 2, 3]) << 8) | (rng.Below(4) << 10) : 0x37F);
        if (rng.Chance(10))
        {
            control &= (ushort)~(1 << rng.Below(6));
        }

        int top = asMmx ? 0 : rng.Below(8);
        ushort status = (ushort)((top << 11) | (rng.Below(8) << 8) | (rng.Below(2) << 14));
        if (rng.Chance(6))
        {
            // Flags left by earlier operations; an unmasked one makes the next waiting instruction raise #MF.
            int flags = rng.Below(64);
            status |= (ushort)(flags | ((flags & ~control & 0x3F) != 0 ? 0x8080 : 0));
        }

        BinaryPrimitives.WriteUInt16LittleEndian(image, control);
        BinaryPrimitives.WriteUInt16LittleEndian(image[2..], status);
        image[4] = (byte)(asMmx ? 0xFF : rng.Below(4) switch { 0 => 0, 1 => rng.Below(256), _ => 0xFF });
        BinaryPrimitives.WriteUInt32LittleEndian(image[24..], 0x1F80);
        for (int i = 0; i < 8; i++)
        {
            Span<byte> register = image.Slice(32 + (16 * i), 10);
            if (asMmx)
            {
                Fill(register[..8], (ElementStyle)rng.Below(4));
                register[8..].Fill(0xFF);
            }
            else
            {
                Element(register, ElementStyle.Extended);
            }
        }
    }

    private void Element(Span<byte> element, ElementStyle style)
    {
        switch (style)
        {
            case ElementStyle.Bytes:
                element[0] = (byte)(rng.Chance(3) ? rng.Pick<int>([0, 1, 0x7F, 0x80, 0xFF, 'a', 'z']) : (int)rng.Next());
                break;
            case ElementStyle.Integers16:
                BinaryPrimitives.WriteUInt16LittleEndian(element, (ushort)Register());
                break;
            case ElementStyle.Halves:
                BinaryPrimitives.WriteUInt16LittleEndian(element, rng.Chance(2) ? rng.Pick<ushort>([0, 0x8000, 0x3C00, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 1, 0x3FF, 0x400, 0x7BFF]) : (ushort)rng.Next());
                break;
            case ElementStyle.Integers32:
                BinaryPrimitives.WriteUInt32LittleEndian(element, (uint)Register());
                break;
            case ElementStyle.Singles:
                BinaryPrimitives.WriteUInt32LittleEndian(element, Single());
                break;
            case ElementStyle.Doubles:
                BinaryPrimitives.WriteUInt64LittleEndian(element, Double());
                break;
            case ElementStyle.Extended:
                (ushort exponent, ulong mantissa) = rng.Chance(2)
                    ? rng.Pick<(ushort, ulong)>(ExtendedEdges)
                    : ((ushort)(0x3FF0 + rng.Below(64) + (rng.Below(2) << 15)), rng.Next() | (1ul << 63));
                BinaryPrimitives.WriteUInt64LittleEndian(element, mantissa);
                BinaryPrimitives.WriteUInt16LittleEndian(element[8..], exponent);
                break;
            default:
                BinaryPrimitives.WriteUInt64LittleEndian(element, Register());
                break;
        }
    }

    private uint Single() => rng.Below(4) switch
    {
        0 or 1 => rng.Pick<uint>(SingleEdges),
        2 => BitConverter.SingleToUInt32Bits(((int)rng.Next() >> rng.Below(31)) / (float)(1 << rng.Below(8))),
        _ => (uint)rng.Next(),
    };

    private ulong Double() => rng.Below(4) switch
    {
        0 or 1 => rng.Pick<ulong>(DoubleEdges),
        2 => BitConverter.DoubleToUInt64Bits(((long)rng.Next() >> rng.Below(63)) / (double)(1 << rng.Below(8))),
        _ => rng.Next(),
    };
}
