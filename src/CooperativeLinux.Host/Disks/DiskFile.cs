using CooperativeLinux.Host.Sys;

namespace CooperativeLinux.Host.Disks;

/// <summary>
/// A file or block device of the host that holds a disk: positioned transfers between it and several pieces of memory, durable flushes
/// and holes. While it is open, nobody else who opens it here may write it, nor open it at all if it is writable. Any thread.
/// </summary>
/// <remarks>Transfers fail with an <see cref="IOException"/> whose message is the host's reason.</remarks>
public abstract class DiskFile : IDisposable
{
    /// <param name="path">Where it is, for messages.</param>
    /// <param name="isWritable">Whether it can be written.</param>
    protected DiskFile(string path, bool isWritable)
    {
        Path = path;
        IsWritable = isWritable;
    }

    /// <summary>Where it is.</summary>
    public string Path { get; }

    /// <summary>Whether it was opened for writing.</summary>
    public bool IsWritable { get; }

    /// <summary>Whether it is a device, whose size is fixed.</summary>
    public abstract bool IsDevice { get; }

    /// <summary>Bytes.</summary>
    public abstract long Length { get; }

    /// <summary>Bytes of the host's storage that it takes; 0 for a device.</summary>
    public abstract long AllocatedLength { get; }

    /// <summary>When its content was last changed; <see cref="DateTime.MinValue"/> for a device.</summary>
    public abstract DateTime LastWriteTimeUtc { get; }

    /// <summary>Opens what exists.</summary>
    /// <param name="path">File or device.</param>
    /// <param name="isWritable">Whether it will be written.</param>
    /// <exception cref="IOException">It does not exist, is no file or device, is in use, or the host refuses; the message is one line for
    /// the user.</exception>
    public static DiskFile Open(string path, bool isWritable) => HostPlatform.Create().OpenDisk(path, isWritable, isNew: false);

    /// <summary>Makes an empty file.</summary>
    /// <param name="path">Where nothing is yet.</param>
    /// <exception cref="IOException">Something is there already or the host refuses; the message is one line for the user.</exception>
    public static DiskFile Create(string path) => HostPlatform.Create().OpenDisk(path, isWritable: true, isNew: true);

    /// <summary>Fills the buffers from the file; what lies behind its end is zero.</summary>
    /// <param name="buffers">At most 1024 pieces.</param>
    /// <param name="offset">Position of the first byte.</param>
    /// <returns>How many bytes are the file's.</returns>
    public abstract long Read(ReadOnlySpan<IoBuffer> buffers, long offset);

    /// <summary>Fills the buffers from the file if that takes no waiting, because the host has the content in memory.</summary>
    /// <returns>Whether it did; if not, the buffers may hold anything.</returns>
    public virtual bool TryReadCached(ReadOnlySpan<IoBuffer> buffers, long offset) => false;

    /// <summary>Writes the buffers. Durable only after a <see cref="Flush"/>.</summary>
    /// <param name="buffers">At most 1024 pieces.</param>
    /// <param name="offset">Position of the first byte.</param>
    public abstract void Write(ReadOnlySpan<IoBuffer> buffers, long offset);

    /// <summary>Returns when everything written before is on stable storage.</summary>
    public abstract void Flush();

    /// <summary>Makes a range read zero and gives its storage back to the host, as far as it consists of whole blocks of the host. The
    /// size stays.</summary>
    /// <exception cref="NotSupportedException">The host's file system cannot do that.</exception>
    public abstract void PunchHole(long offset, long length);

    /// <summary>Changes the size; new bytes are zero and take no storage.</summary>
    public abstract void SetLength(long length);

    /// <summary>Reads into one piece of memory.</summary>
    public unsafe void Read(Span<byte> destination, long offset)
    {
        // SAFETY: pinned for the length of the call.
        fixed (byte* start = destination)
        {
            _ = Read([new IoBuffer(start, destination.Length)], offset);
        }
    }

    /// <summary>Writes one piece of memory.</summary>
    public unsafe void Write(ReadOnlySpan<byte> source, long offset)
    {
        // SAFETY: pinned for the length of the call, and only read.
        fixed (byte* start = source)
        {
            Write([new IoBuffer(start, source.Length)], offset);
        }
    }

    /// <inheritdoc/>
    public abstract void Dispose();
}
