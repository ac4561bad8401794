using System.Buffers.Binary;

namespace CooperativeLinux.Control;

/// <summary>What a frame on a control connection is. The first frame of a connection is a request.</summary>
internal enum FrameKind : byte
{
    /// <summary>Request: which process has the machine. Answer: <see cref="Text"/> with its number.</summary>
    Identify = 1,

    /// <summary>Request: use the console. Then <see cref="Output"/>, <see cref="Input"/>, <see cref="Menu"/> and <see cref="Text"/>.</summary>
    Attach = 2,

    /// <summary>Request: run a program; program and arguments with zero bytes between them. Then <see cref="Output"/>,
    /// <see cref="Errors"/> and <see cref="Exit"/>.</summary>
    Execute = 3,

    /// <summary>Request: shut down in order; the time limit in seconds, or nothing. Then <see cref="Text"/> and <see cref="Exit"/>.</summary>
    ShutDown = 4,

    /// <summary>Request: switch off at once. Then <see cref="Exit"/>.</summary>
    Kill = 5,

    /// <summary>Bytes of the console or of a program's standard output.</summary>
    Output = 16,

    /// <summary>Bytes of a program's standard error.</summary>
    Errors = 17,

    /// <summary>A line for the user.</summary>
    Text = 18,

    /// <summary>The program or the machine has ended; a program's exit status in decimal.</summary>
    Exit = 19,

    /// <summary>The request cannot be done; a line that says why.</summary>
    Failure = 20,

    /// <summary>Bytes that were typed.</summary>
    Input = 32,

    /// <summary>A command of the console's menu: its number in decimal, a blank and its argument.</summary>
    Menu = 33,
}

/// <summary>Reads and writes the frames of a control connection: a byte with the kind, the length in four bytes (little endian), and
/// as many bytes.</summary>
internal static class ControlFrame
{
    /// <summary>The longest content of a frame, in bytes.</summary>
    public const int MaxLength = 2 << 20;

    private const int HeaderSize = 5;

    /// <summary>Reads one frame.</summary>
    /// <returns>Null at the end of the connection.</returns>
    /// <exception cref="IOException">The connection broke, or what came is no frame.</exception>
    public static async Task<(FrameKind Kind, byte[] Content)?> ReadAsync(Stream stream, CancellationToken cancellationToken)
    {
        byte[] header = new byte[HeaderSize];
        int read = await stream.ReadAtLeastAsync(header, HeaderSize, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
        if (read < HeaderSize)
        {
            return null;
        }

        int length = BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(1));
        if (length is < 0 or > MaxLength)
        {
            throw new IOException("the control connection does not speak the language of colinux");
        }

        byte[] content = new byte[length];
        await stream.ReadExactlyAsync(content, cancellationToken).ConfigureAwait(false);
        return ((FrameKind)header[0], content);
    }

    /// <summary>Makes the bytes of one frame.</summary>
    public static byte[] Create(FrameKind kind, ReadOnlySpan<byte> content)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(content.Length, MaxLength);
        byte[] frame = new byte[HeaderSize + content.Length];
        frame[0] = (byte)kind;
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(1), content.Length);
        content.CopyTo(frame.AsSpan(HeaderSize));
        return frame;
    }
}
