using System.Globalization;

namespace CooperativeLinux.Devices.Network;

/// <summary>An Ethernet address.</summary>
/// <param name="Value">The six bytes as a number, the first byte highest.</param>
public readonly record struct MacAddress(ulong Value)
{
    /// <summary>Bytes.</summary>
    public const int Size = 6;

    /// <summary>The address of all stations.</summary>
    public static MacAddress Broadcast { get; } = new(0xffff_ffff_ffff);

    /// <summary>Whether it stands for a group of stations.</summary>
    public bool IsGroup => (Value >> 40 & 1) != 0;

    /// <summary>Reads six bytes.</summary>
    public static MacAddress Read(ReadOnlySpan<byte> bytes)
    {
        ulong value = 0;
        foreach (byte part in bytes[..Size])
        {
            value = (value << 8) | part;
        }

        return new MacAddress(value);
    }

    /// <summary>Reads the usual spelling, <c>52:54:00:12:34:56</c>.</summary>
    /// <returns>Whether it is one.</returns>
    public static bool TryParse(ReadOnlySpan<char> text, out MacAddress address)
    {
        address = default;
        if (text.Length != (Size * 3) - 1)
        {
            return false;
        }

        ulong value = 0;
        for (int i = 0; i < Size; i++)
        {
            ReadOnlySpan<char> digits = text.Slice(i * 3, 2);
            if (!byte.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte part)
                || (i > 0 && text[(i * 3) - 1] != ':'))
            {
                return false;
            }

            value = (value << 8) | part;
        }

        address = new MacAddress(value);
        return true;
    }

    /// <summary>Writes six bytes.</summary>
    public void Write(Span<byte> bytes)
    {
        for (int i = 0; i < Size; i++)
        {
            bytes[i] = (byte)(Value >> (40 - (8 * i)));
        }
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Size];
        Write(bytes);
        return $"{bytes[0]:x2}:{bytes[1]:x2}:{bytes[2]:x2}:{bytes[3]:x2}:{bytes[4]:x2}:{bytes[5]:x2}";
    }
}
