using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static CooperativeLinux.Host.Disks.Sys.WindowsDiskCalls;

namespace CooperativeLinux.Host.Disks.Sys;

/// <summary>A sparse file, or a disk by its name (<c>\\.\PhysicalDrive1</c>). The share mode is the lock.</summary>
internal sealed class WindowsDiskFile : DiskFile
{
    private readonly SafeFileHandle _file;

    private WindowsDiskFile(string path, bool isWritable, SafeFileHandle file, bool isDevice)
        : base(path, isWritable)
    {
        _file = file;
        IsDevice = isDevice;
    }

    /// <inheritdoc/>
    public override bool IsDevice { get; }

    /// <inheritdoc/>
    public override long Length
    {
        get
        {
            if (!IsDevice)
            {
                return RandomAccess.GetLength(_file);
            }

            Span<long> size = stackalloc long[1];
            return Control(_file, GetLengthInfo, default, 0, size, sizeof(long), out _, 0) ? size[0] : throw Failure($"cannot tell the size of {Path}");
        }
    }

    /// <inheritdoc/>
    public override long AllocatedLength
    {
        get
        {
            if (IsDevice)
            {
                return 0;
            }

            uint low = GetCompressedSize(Path, out uint high);
            return low == uint.MaxValue && Marshal.GetLastPInvokeError() != 0 ? Length : ((long)high << 32) | low;
        }
    }

    /// <inheritdoc/>
    public override DateTime LastWriteTimeUtc => IsDevice ? DateTime.MinValue : File.GetLastWriteTimeUtc(_file);

    /// <summary>See <see cref="DiskFile.Open"/> and <see cref="DiskFile.Create"/>.</summary>
    public static WindowsDiskFile Open(string path, bool isWritable, bool isNew)
    {
        bool isDevice = path.StartsWith(@"\\.\", StringComparison.Ordinal);
        try
        {
            FileShare share = isDevice ? FileShare.ReadWrite : isWritable ? FileShare.None : FileShare.Read;
            SafeFileHandle file = File.OpenHandle(path, isNew ? FileMode.CreateNew : FileMode.Open, isWritable ? FileAccess.ReadWrite : FileAccess.Read, share);
            if (isWritable && !isDevice)
            {
                // Where there are no sparse files, holes are written out.
                _ = Control(file, SetSparse, default, 0, default, 0, out _, 0);
            }

            return new WindowsDiskFile(path, isWritable, file, isDevice);
        }
        catch (Exception error) when (error is UnauthorizedAccessException && Directory.Exists(path))
        {
            throw new IOException($"{path} is a folder", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            const int SharingViolation = unchecked((int)0x80070020);
            throw new IOException(
                error.HResult == SharingViolation
                    ? $"{path} is in use by another machine or program"
                    : $"cannot {(isNew ? "create" : "open")} {path}: {error.Message}",
                error);
        }
    }

    /// <inheritdoc/>
    public override long Read(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        Check(offset);
        long moved = 0;
        foreach (IoBuffer buffer in buffers)
        {
            Span<byte> rest = buffer.Span;
            while (!rest.IsEmpty)
            {
                int count = RandomAccess.Read(_file, rest, offset);
                moved += count;
                if (count == 0)
                {
                    rest.Clear();
                    count = rest.Length;
                }

                rest = rest[count..];
                offset += count;
            }
        }

        return moved;
    }

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        Check(offset);
        if (!IsWritable)
        {
            throw new IOException($"cannot write {Path}: it is open for reading");
        }

        foreach (IoBuffer buffer in buffers)
        {
            RandomAccess.Write(_file, buffer.Span, offset);
            offset += buffer.Length;
        }
    }

    /// <inheritdoc/>
    public override void Flush()
    {
        // The host flushes only for those who may write.
        if (IsWritable)
        {
            RandomAccess.FlushToDisk(_file);
        }
    }

    /// <inheritdoc/>
    public override void PunchHole(long offset, long length)
    {
        // FILE_ZERO_DATA_INFORMATION: first byte, and the byte after the last.
        ReadOnlySpan<long> range = [offset, offset + length];
        if (length > 0 && !Control(_file, SetZeroData, range, 2 * sizeof(long), default, 0, out _, 0))
        {
            throw Marshal.GetLastPInvokeError() is ErrorInvalidFunction or ErrorNotSupported
                ? new NotSupportedException($"the file system of {Path} cannot give space back")
                : Failure($"cannot discard {Path}");
        }
    }

    /// <inheritdoc/>
    public override void SetLength(long length) => RandomAccess.SetLength(_file, length);

    /// <inheritdoc/>
    public override void Dispose() => _file.Dispose();

    private static void Check(long offset) => ArgumentOutOfRangeException.ThrowIfNegative(offset);

    private static IOException Failure(string what) => new($"{what}: {Marshal.GetLastPInvokeErrorMessage()}");
}
