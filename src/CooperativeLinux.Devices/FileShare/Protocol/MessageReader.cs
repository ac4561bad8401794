using System.Buffers.Binary;

namespace CooperativeLinux.Devices.FileShare.Protocol;

/// <summary>
/// Reads the fields of a request. Past the end of the message every field is zero or empty and <see cref="IsIntact"/> is false; check it
/// before using any.
/// </summary>
internal ref struct MessageReader(ReadOnlySpan<byte> fields)
{
    private ReadOnlySpan<byte> _rest = fields;

    /// <summary>Whether all fields read so far were there.</summary>
    public bool IsIntact { get; private set; } = true;

    /// <summary>Bytes not yet read.</summary>
    public readonly int Remaining => _rest.Length;

    public byte ReadByte()
    {
        ReadOnlySpan<byte> field = Take(sizeof(byte));
        return field.IsEmpty ? (byte)0 : field[0];
    }

    public ushort ReadUInt16()
    {
        ReadOnlySpan<byte> field = Take(sizeof(ushort));
        return field.IsEmpty ? (ushort)0 : BinaryPrimitives.ReadUInt16LittleEndian(field);
    }

    public uint ReadUInt32()
    {
        ReadOnlySpan<byte> field = Take(sizeof(uint));
        return field.IsEmpty ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(field);
    }

    public ulong ReadUInt64()
    {
        ReadOnlySpan<byte> field = Take(sizeof(ulong));
        return field.IsEmpty ? 0 : BinaryPrimitives.ReadUInt64LittleEndian(field);
    }

    /// <summary>A string: its length in two bytes, and the bytes, which need not be UTF-8.</summary>
    public ReadOnlySpan<byte> ReadString() => Take(ReadUInt16());

    /// <summary>Some bytes.</summary>
    public ReadOnlySpan<byte> ReadBytes(uint count) => Take(count);

    private ReadOnlySpan<byte> Take(uint count)
    {
        if (count > (uint)_rest.Length)
        {
            IsIntact = false;
            _rest = [];
            return [];
        }

        ReadOnlySpan<byte> field = _rest[..(int)count];
        _rest = _rest[(int)count..];
        return field;
    }
}
