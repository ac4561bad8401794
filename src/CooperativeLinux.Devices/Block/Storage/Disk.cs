using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>
/// The content of a disk. Any thread; transfers that overlap and run at the same time may leave either content, in whole sectors. Transfers fail
/// with an <see cref="IOException"/>; the disk stays usable.
/// </summary>
public abstract class Disk : IDisposable
{
    /// <summary>Bytes in a sector.</summary>
    public const int SectorSize = 512;

    /// <summary>Bytes in a sector, as a shift.</summary>
    public const int SectorShift = 9;

    /// <summary>The most bytes a disk can have, 16 TiB: the largest file of common file systems.</summary>
    public const long MaxLength = 1L << 44;

    /// <summary>Bytes that are best written together, at multiples of it.</summary>
    public const int PhysicalSectorSize = 4096;

    /// <summary>Bytes, a multiple of <see cref="SectorSize"/>.</summary>
    public abstract long Length { get; }

    /// <summary>Whether writes are refused.</summary>
    public abstract bool IsReadOnly { get; }

    /// <summary>What it is, for messages.</summary>
    public abstract string Description { get; }

    /// <summary>Reads whole sectors.</summary>
    /// <param name="buffers">At most 1024 pieces.</param>
    /// <param name="offset">Position in bytes; the whole lies within the disk.</param>
    public abstract void Read(ReadOnlySpan<IoBuffer> buffers, long offset);

    /// <summary>Reads whole sectors if that takes no waiting.</summary>
    /// <param name="buffers">At most 1024 pieces.</param>
    /// <param name="offset">Position in bytes; the whole lies within the disk.</param>
    /// <returns>Whether it did; if not, the buffers may hold anything.</returns>
    public virtual bool TryReadCached(ReadOnlySpan<IoBuffer> buffers, long offset) => false;

    /// <summary>Writes whole sectors. Durable only after a <see cref="Flush"/>.</summary>
    /// <param name="buffers">At most 1024 pieces.</param>
    /// <param name="offset">Position in bytes; the whole lies within the disk.</param>
    public abstract void Write(ReadOnlySpan<IoBuffer> buffers, long offset);

    /// <summary>Whether a write of whole sectors usually only puts them into the host's memory.</summary>
    /// <param name="offset">Position in bytes.</param>
    /// <param name="length">Bytes; the whole lies within the disk.</param>
    public virtual bool IsWriteQuick(long offset, long length) => false;

    /// <summary>Returns when all writes and discards that returned before the call are on the host's stable storage.</summary>
    public abstract void Flush();

    /// <summary>Gives the storage of whole sectors back to the host, as far as it can; where it did, they read zero.</summary>
    /// <exception cref="NotSupportedException">The host cannot do that here.</exception>
    public abstract void Discard(long offset, long length);

    /// <summary>Makes what was written findable and closes. Never throws for what the host does.</summary>
    public abstract void Dispose();
}
