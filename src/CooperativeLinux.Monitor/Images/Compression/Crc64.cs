using System.Buffers.Binary;

namespace CooperativeLinux.Monitor.Images.Compression;

/// <summary>CRC-64 as XZ uses it: ECMA-182 polynomial, reflected, inverted before and after.</summary>
internal sealed class Crc64
{
    private const ulong ReflectedPolynomial = 0xc96c5795d7870f42;
    private const int Lanes = 8;

    // Lane n: the effect of a byte that n more bytes follow.
    private readonly ulong[] _table = MakeTable();

    /// <summary>The check value of the bytes.</summary>
    public ulong Compute(ReadOnlySpan<byte> data)
    {
        ReadOnlySpan<ulong> table = _table;
        ulong crc = ulong.MaxValue;
        while (data.Length >= Lanes)
        {
            ulong value = crc ^ BinaryPrimitives.ReadUInt64LittleEndian(data);
            crc = table[(7 * 256) + (int)(value & 0xff)]
                ^ table[(6 * 256) + (int)((value >> 8) & 0xff)]
                ^ table[(5 * 256) + (int)((value >> 16) & 0xff)]
                ^ table[(4 * 256) + (int)((value >> 24) & 0xff)]
                ^ table[(3 * 256) + (int)((value >> 32) & 0xff)]
                ^ table[(2 * 256) + (int)((value >> 40) & 0xff)]
                ^ table[(1 * 256) + (int)((value >> 48) & 0xff)]
                ^ table[(int)(value >> 56)];
            data = data[Lanes..];
        }

        foreach (byte value in data)
        {
            crc = (crc >> 8) ^ table[(int)((crc ^ value) & 0xff)];
        }

        return ~crc;
    }

    private static ulong[] MakeTable()
    {
        ulong[] table = new ulong[Lanes * 256];
        for (int value = 0; value < 256; value++)
        {
            ulong crc = (ulong)value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ (ReflectedPolynomial & (0 - (crc & 1)));
            }

            table[value] = crc;
        }

        for (int index = 256; index < table.Length; index++)
        {
            ulong shorter = table[index - 256];
            table[index] = (shorter >> 8) ^ table[(int)(shorter & 0xff)];
        }

        return table;
    }
}
