using System.Buffers.Binary;

namespace CooperativeLinux.Devices.FileShare.Protocol;

/// <summary>
/// Writes an answer: size[4] type[1] tag[2] and fields. The buffer must have room for the largest answer to the request at hand; the
/// server checks counts before it writes.
/// </summary>
internal ref struct MessageWriter
{
    /// <summary>Bytes before the fields.</summary>
    public const int HeaderSize = 7;

    private readonly Span<byte> _buffer;
    private readonly ushort _tag;

    /// <param name="buffer">Receives the message.</param>
    /// <param name="request">Type of the request.</param>
    /// <param name="tag">The request's tag.</param>
    public MessageWriter(Span<byte> buffer, MessageType request, ushort tag)
    {
        _buffer = buffer;
        _tag = tag;
        buffer[4] = (byte)(request + 1);
        BinaryPrimitives.WriteUInt16LittleEndian(buffer[5..], tag);
        Length = HeaderSize;
    }

    /// <summary>Bytes written so far.</summary>
    public int Length { get; private set; }

    /// <summary>What is left of the buffer: to put bytes there, followed by <see cref="Advance"/>.</summary>
    public readonly Span<byte> Rest => _buffer[Length..];

    public void Write(byte value) => _buffer[Length++] = value;

    public void Write(ushort value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(Rest, value);
        Length += sizeof(ushort);
    }

    public void Write(uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(Rest, value);
        Length += sizeof(uint);
    }

    public void Write(ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(Rest, value);
        Length += sizeof(ulong);
    }

    public void Write(Qid qid)
    {
        Write(qid.Type);
        Write(qid.Version);
        Write(qid.Path);
    }

    /// <summary>Writes a string with its length; at most 65535 bytes.</summary>
    public void WriteString(ReadOnlySpan<byte> text)
    {
        Write(checked((ushort)text.Length));
        WriteBytes(text);
    }

    public void WriteBytes(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Rest);
        Length += bytes.Length;
    }

    /// <summary>Counts bytes that were put into <see cref="Rest"/>.</summary>
    public void Advance(int count) => Length += count;

    /// <summary>Overwrites a number written before.</summary>
    public readonly void Patch(int position, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_buffer[position..], value);

    public readonly void Patch(int position, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(_buffer[position..], value);

    /// <summary>Makes it an error message instead.</summary>
    public void Fail(Errno error)
    {
        _buffer[4] = (byte)MessageType.ErrorAnswer;
        BinaryPrimitives.WriteUInt16LittleEndian(_buffer[5..], _tag);
        Length = HeaderSize;
        Write((uint)error);
    }

    /// <summary>Puts the size in front; the message is complete.</summary>
    public readonly ReadOnlySpan<byte> Finish()
    {
        Patch(0, (uint)Length);
        return _buffer[..Length];
    }
}
