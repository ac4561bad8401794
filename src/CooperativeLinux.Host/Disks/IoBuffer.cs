using System.Runtime.InteropServices;

namespace CooperativeLinux.Host.Disks;

/// <summary>A piece of memory that a transfer fills or takes bytes from; laid out as the host's <c>struct iovec</c>. The
/// memory must stay where it is until the transfer is over.</summary>
[StructLayout(LayoutKind.Sequential)]
public readonly unsafe struct IoBuffer
{
    private readonly byte* _start;
    private readonly nuint _length;

    /// <param name="start">First byte.</param>
    /// <param name="length">Bytes.</param>
    public IoBuffer(byte* start, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        _start = start;
        _length = (nuint)length;
    }

    /// <summary>First byte.</summary>
    public byte* Start => _start;

    /// <summary>Bytes.</summary>
    public int Length => (int)_length;

    /// <summary>The bytes.</summary>
    public Span<byte> Span => new(_start, Length);

    /// <summary>Bytes of all pieces.</summary>
    public static long TotalLength(ReadOnlySpan<IoBuffer> buffers)
    {
        long total = 0;
        foreach (IoBuffer buffer in buffers)
        {
            total += buffer.Length;
        }

        return total;
    }

    /// <summary>The pieces that make up a part of what given pieces make up.</summary>
    /// <param name="buffers">The whole.</param>
    /// <param name="skip">Bytes before the part.</param>
    /// <param name="length">Bytes of the part; together with <paramref name="skip"/> within the whole.</param>
    /// <param name="part">Receives the pieces; as long as <paramref name="buffers"/>.</param>
    /// <returns>The pieces, at the start of <paramref name="part"/>.</returns>
    public static ReadOnlySpan<IoBuffer> Slice(ReadOnlySpan<IoBuffer> buffers, long skip, long length, Span<IoBuffer> part)
    {
        int count = 0;
        foreach (IoBuffer buffer in buffers)
        {
            if (skip >= buffer.Length)
            {
                skip -= buffer.Length;
                continue;
            }

            if (length == 0)
            {
                break;
            }

            int taken = (int)Math.Min(buffer.Length - skip, length);
            part[count++] = new IoBuffer(buffer.Start + skip, taken);
            skip = 0;
            length -= taken;
        }

        return part[..count];
    }
}
