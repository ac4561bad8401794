using System.Runtime.InteropServices;
using static CooperativeLinux.Host.Disks.Sys.LinuxDiskCalls;

namespace CooperativeLinux.Host.Disks.Sys;

/// <summary>A file or block device by its descriptor, locked with flock.</summary>
internal sealed unsafe class LinuxDiskFile : DiskFile
{
    private const int NanosecondsPerTick = 100;
    private const uint NewFileMode = 0b110_100_100; // rw-r--r--, less the umask

    private readonly int _file;
    private volatile bool _hasNoCachedReads;
    private int _isDisposed;

    private LinuxDiskFile(string path, bool isWritable, int file, bool isDevice)
        : base(path, isWritable)
    {
        _file = file;
        IsDevice = isDevice;

        // The guest reads ahead itself. The host would do it once more, in other portions, so that a request is partly in its memory and
        // partly not; and what it reads ahead it keeps in large pieces, into which ext4 (since Linux 6.16) writes 4 KiB many times slower.
        _ = Advise(file, 0, 0, AdviseRandom);
    }

    /// <inheritdoc/>
    public override bool IsDevice { get; }

    /// <inheritdoc/>
    public override long Length => IsDevice ? CheckSize(Seek(_file, 0, SeekEnd)) : (long)Status().Size;

    /// <inheritdoc/>
    public override long AllocatedLength => IsDevice ? 0 : (long)Status().Blocks * 512;

    /// <inheritdoc/>
    public override DateTime LastWriteTimeUtc
    {
        get
        {
            if (IsDevice)
            {
                return DateTime.MinValue;
            }

            FileStatus status = Status();
            return DateTime.UnixEpoch.AddSeconds(status.ModifiedSeconds).AddTicks(status.ModifiedNanoseconds / NanosecondsPerTick);
        }
    }

    /// <summary>See <see cref="DiskFile.Open"/> and <see cref="DiskFile.Create"/>.</summary>
    public static LinuxDiskFile Open(string path, bool isWritable, bool isNew)
    {
        int access = (isWritable ? OpenReadWrite : OpenReadOnly) | OpenCloseOnExec | OpenNonBlocking;
        int file = OpenFile(path, isNew ? access | OpenCreate | OpenExclusive : access);
        try
        {
            if (LinuxDiskCalls.Status(file, "", AtEmptyPath, StatxBasic, out FileStatus status) != 0)
            {
                throw Failure($"cannot look at {path}");
            }

            if (status.Type is not (FileStatus.RegularFile or FileStatus.BlockDevice))
            {
                throw new IOException(status.Type == FileStatus.Folder ? $"{path} is a folder" : $"{path} is neither a file nor a block device");
            }

            bool isDevice = status.Type == FileStatus.BlockDevice;
            if (isDevice && isWritable)
            {
                // For a device, exclusive means: not mounted or held otherwise.
                int exclusive = OpenFile(path, access | OpenExclusive);
                _ = Close(file);
                file = exclusive;
            }

            if (Lock(file, (isWritable ? LockExclusive : LockShared) | LockNonBlocking) != 0)
            {
                // Some network file systems know no locks; then there are none.
                int error = Marshal.GetLastPInvokeError();
                if (error == ErrorAgain)
                {
                    throw new IOException($"{path} is in use by another machine or program");
                }

                if (error is not (ErrorNotSupported or ErrorNoSystemCall))
                {
                    throw Failure($"cannot lock {path}", error);
                }
            }

            return new LinuxDiskFile(path, isWritable, file, isDevice);
        }
        catch
        {
            _ = Close(file);
            throw;
        }
    }

    /// <inheritdoc/>
    public override long Read(ReadOnlySpan<IoBuffer> buffers, long offset) => Transfer(buffers, offset, isWrite: false);

    /// <inheritdoc/>
    public override bool TryReadCached(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        if (_hasNoCachedReads)
        {
            return false;
        }

        // SAFETY: as in TransferOnce.
        fixed (IoBuffer* list = buffers)
        {
            nint moved = LinuxDiskCalls.Read(_file, list, buffers.Length, offset, ReadNoWait);
            _hasNoCachedReads = moved < 0 && Marshal.GetLastPInvokeError() is ErrorNotSupported or ErrorNoSystemCall;
            return moved == IoBuffer.TotalLength(buffers);
        }
    }

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<IoBuffer> buffers, long offset) => Transfer(buffers, offset, isWrite: true);

    /// <inheritdoc/>
    public override void Flush()
    {
        while (Synchronize(_file) != 0)
        {
            Throw("flush");
        }
    }

    /// <inheritdoc/>
    public override void PunchHole(long offset, long length)
    {
        while (length > 0 && Allocate(_file, FallocatePunchHole | FallocateKeepSize, offset, length) != 0)
        {
            if (Marshal.GetLastPInvokeError() is ErrorNotSupported or ErrorNoSystemCall)
            {
                throw new NotSupportedException($"the file system of {Path} cannot give space back");
            }

            Throw("discard");
        }
    }

    /// <inheritdoc/>
    public override void SetLength(long length)
    {
        while (Truncate(_file, length) != 0)
        {
            Throw("resize");
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            _ = Close(_file);
        }
    }

    private static int OpenFile(string path, int flags)
    {
        while (true)
        {
            int file = LinuxDiskCalls.Open(path, flags, NewFileMode);
            if (file >= 0)
            {
                return file;
            }

            int error = Marshal.GetLastPInvokeError();
            if (error != ErrorInterrupted)
            {
                throw error == ErrorBusy
                    ? new IOException($"{path} is in use: the host has it mounted, or another program holds it")
                    : Failure($"cannot {((flags & OpenCreate) != 0 ? "create" : "open")} {path}", error);
            }
        }
    }

    private static IOException Failure(string what, int? error = null) =>
        new($"{what}: {Marshal.GetPInvokeErrorMessage(error ?? Marshal.GetLastPInvokeError())}");

    /// <summary>Throws the last error, except where the call only has to be repeated.</summary>
    private void Throw(string what)
    {
        int error = Marshal.GetLastPInvokeError();
        if (error != ErrorInterrupted)
        {
            throw Failure($"cannot {what} {Path}", error);
        }
    }

    private long Transfer(ReadOnlySpan<IoBuffer> buffers, long offset, bool isWrite)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        long moved = TransferOnce(buffers, offset, isWrite);
        long total = IoBuffer.TotalLength(buffers);
        if (moved == total)
        {
            return moved;
        }

        // Short: at the end of a file, at a full disk, or because of a signal.
        Span<IoBuffer> part = new IoBuffer[buffers.Length];
        while (moved < total)
        {
            ReadOnlySpan<IoBuffer> rest = IoBuffer.Slice(buffers, moved, total - moved, part);
            long more = TransferOnce(rest, offset + moved, isWrite);
            if (more == 0 && !isWrite)
            {
                foreach (IoBuffer buffer in rest)
                {
                    buffer.Span.Clear();
                }

                return moved;
            }

            if (more == 0)
            {
                throw Failure($"cannot write {Path}", ErrorNoSpace);
            }

            moved += more;
        }

        return moved;
    }

    private long TransferOnce(ReadOnlySpan<IoBuffer> buffers, long offset, bool isWrite)
    {
        // SAFETY: the buffers' memory is the caller's to keep in place; only the list of them is pinned here.
        fixed (IoBuffer* list = buffers)
        {
            while (true)
            {
                nint moved = isWrite
                    ? LinuxDiskCalls.Write(_file, list, buffers.Length, offset)
                    : LinuxDiskCalls.Read(_file, list, buffers.Length, offset);
                if (moved >= 0)
                {
                    return moved;
                }

                Throw(isWrite ? "write" : "read");
            }
        }
    }

    private FileStatus Status() =>
        LinuxDiskCalls.Status(_file, "", AtEmptyPath, StatxBasic, out FileStatus status) == 0 ? status : throw Failure($"cannot look at {Path}");

    private long CheckSize(long size) => size >= 0 ? size : throw Failure($"cannot tell the size of {Path}");
}
