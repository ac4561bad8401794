using System.Diagnostics.CodeAnalysis;
using System.Text;
using CooperativeLinux.Devices.FileShare.Protocol;

namespace CooperativeLinux.Devices.FileShare.Files;

/// <summary>
/// One component of a path, never a path: without '/' and NUL, not empty, not "." or "..", at most <see cref="MaxLength"/> bytes.
/// Bytes, because a Linux file name need not be text.
/// </summary>
internal sealed class FileName : IEquatable<FileName>
{
    /// <summary>NAME_MAX of Linux.</summary>
    public const int MaxLength = 255;

    private readonly byte[] _terminated;

    private FileName(byte[] terminated)
    {
        _terminated = terminated;
    }

    /// <summary>The bytes.</summary>
    public ReadOnlySpan<byte> Bytes => _terminated.AsSpan(0, _terminated.Length - 1);

    /// <summary>The bytes and a NUL, for system calls.</summary>
    public ReadOnlySpan<byte> Terminated => _terminated;

    /// <summary>Checks and copies a name.</summary>
    /// <returns>ENOENT (empty), EINVAL (a path or a dot name) or ENAMETOOLONG if it is none.</returns>
    public static Errno TryCreate(ReadOnlySpan<byte> bytes, [NotNull] out FileName? name)
    {
        name = None;
        if (bytes.IsEmpty)
        {
            return Errno.ENOENT;
        }

        if (bytes.ContainsAny((byte)'/', (byte)0) || bytes.SequenceEqual("."u8) || bytes.SequenceEqual(".."u8))
        {
            return Errno.EINVAL;
        }

        if (bytes.Length > MaxLength)
        {
            return Errno.ENAMETOOLONG;
        }

        byte[] terminated = new byte[bytes.Length + 1];
        bytes.CopyTo(terminated);
        name = new FileName(terminated);
        return Errno.None;
    }

    /// <summary>The name of a share's root and of nothing else: empty.</summary>
    internal static FileName None { get; } = new([0]);

    /// <inheritdoc/>
    public bool Equals(FileName? other) => other is not null && Bytes.SequenceEqual(other.Bytes);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as FileName);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.AddBytes(Bytes);
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public override string ToString() => Encoding.UTF8.GetString(Bytes);
}
