using System.Buffers.Binary;

namespace CooperativeLinux.Devices.Network.Tcp;

[Flags]
internal enum TcpFlags : byte
{
    None = 0,
    Fin = 1,
    Syn = 2,
    Reset = 4,
    Push = 8,
    Acknowledge = 16,
}

/// <summary>A TCP header with the options that matter here (RFC 9293, RFC 7323).</summary>
internal readonly record struct TcpHeader(ushort SourcePort, ushort TargetPort, uint Sequence, uint Acknowledgement, TcpFlags Flags, ushort Window)
{
    /// <summary>Bytes without options.</summary>
    public const int Size = 20;

    /// <summary>Bytes of the longest header written here.</summary>
    public const int MaxSize = Size + 8;

    /// <summary>Where the checksum is.</summary>
    public const int ChecksumOffset = 16;

    private const byte EndOption = 0, NoOption = 1, SegmentSizeOption = 2, WindowScaleOption = 3;
    private const int MaxWindowScale = 14;

    /// <summary>Bytes of payload in a segment that the sender takes; 0 if not told.</summary>
    public ushort SegmentSize { get; init; }

    /// <summary>Shift of window fields, or null if not told.</summary>
    public byte? WindowScale { get; init; }

    public bool Has(TcpFlags flags) => (Flags & flags) == flags;

    /// <summary>Reads a segment.</summary>
    /// <param name="segment">Payload of the IP packet.</param>
    /// <param name="header">The header.</param>
    /// <param name="payload">What follows it.</param>
    /// <returns>Whether the lengths in it make sense.</returns>
    public static bool TryRead(ReadOnlySpan<byte> segment, out TcpHeader header, out ReadOnlySpan<byte> payload)
    {
        header = default;
        payload = default;
        if (segment.Length < Size)
        {
            return false;
        }

        int size = (segment[12] >> 4) * 4;
        if (size < Size || size > segment.Length)
        {
            return false;
        }

        header = new TcpHeader(
            BinaryPrimitives.ReadUInt16BigEndian(segment),
            BinaryPrimitives.ReadUInt16BigEndian(segment[2..]),
            BinaryPrimitives.ReadUInt32BigEndian(segment[4..]),
            BinaryPrimitives.ReadUInt32BigEndian(segment[8..]),
            (TcpFlags)(segment[13] & 31),
            BinaryPrimitives.ReadUInt16BigEndian(segment[14..]));
        payload = segment[size..];
        if (header.Has(TcpFlags.Syn))
        {
            header = ReadOptions(header, segment[Size..size]);
        }

        return true;
    }

    /// <summary>Writes the header with a checksum field of 0.</summary>
    /// <returns>Bytes written.</returns>
    public int Write(Span<byte> segment)
    {
        int size = Size;
        if (SegmentSize != 0)
        {
            segment[size] = SegmentSizeOption;
            segment[size + 1] = 4;
            BinaryPrimitives.WriteUInt16BigEndian(segment[(size + 2)..], SegmentSize);
            size += 4;
        }

        if (WindowScale is { } scale)
        {
            segment[size] = NoOption;
            segment[size + 1] = WindowScaleOption;
            segment[size + 2] = 3;
            segment[size + 3] = scale;
            size += 4;
        }

        BinaryPrimitives.WriteUInt16BigEndian(segment, SourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(segment[2..], TargetPort);
        BinaryPrimitives.WriteUInt32BigEndian(segment[4..], Sequence);
        BinaryPrimitives.WriteUInt32BigEndian(segment[8..], Acknowledgement);
        segment[12] = (byte)(size / 4 << 4);
        segment[13] = (byte)Flags;
        BinaryPrimitives.WriteUInt16BigEndian(segment[14..], Window);
        BinaryPrimitives.WriteUInt32BigEndian(segment[ChecksumOffset..], 0);
        return size;
    }

    private static TcpHeader ReadOptions(TcpHeader header, ReadOnlySpan<byte> options)
    {
        while (!options.IsEmpty && options[0] != EndOption)
        {
            if (options[0] == NoOption)
            {
                options = options[1..];
                continue;
            }

            int size = options.Length < 2 ? 0 : options[1];
            if (size < 2 || size > options.Length)
            {
                break;
            }

            if (options[0] == SegmentSizeOption && size == 4)
            {
                header = header with { SegmentSize = BinaryPrimitives.ReadUInt16BigEndian(options[2..]) };
            }
            else if (options[0] == WindowScaleOption && size == 3)
            {
                header = header with { WindowScale = Math.Min(options[2], (byte)MaxWindowScale) };
            }

            options = options[size..];
        }

        return header;
    }
}
