using System.Runtime.InteropServices;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Boot;

/// <summary>Reads a disk at any position and length. Not thread-safe.</summary>
internal sealed unsafe class DiskReader(Disk disk) : IDisposable
{
    // Bytes read from the disk in one piece, aligned for disks that bypass the host's cache.
    private const int BufferSize = 1 << 20;
    private const int Alignment = Disk.PhysicalSectorSize;

    private byte* _buffer = (byte*)NativeMemory.AlignedAlloc(BufferSize, Alignment);

    /// <summary>Bytes of the disk.</summary>
    public long Length => disk.Length;

    /// <summary>What the disk is, for messages.</summary>
    public string Description => disk.Description;

    /// <summary>Reads.</summary>
    /// <exception cref="InvalidDataException">Not within the disk.</exception>
    /// <exception cref="IOException">The host cannot read.</exception>
    public void Read(long offset, Span<byte> destination)
    {
        ObjectDisposedException.ThrowIf(_buffer == null, this);
        if (offset < 0 || offset > disk.Length - destination.Length)
        {
            throw new InvalidDataException("something is said to lie behind the end of the disk");
        }

        while (!destination.IsEmpty)
        {
            long start = offset & -Alignment;
            int skip = (int)(offset - start);
            int length = (int)Math.Min(BufferSize, Math.Min(disk.Length - start, (skip + destination.Length + (long)Alignment - 1) & -Alignment));
            disk.Read([new IoBuffer(_buffer, length)], start);
            ReadOnlySpan<byte> part = new(_buffer + skip, Math.Min(length - skip, destination.Length));
            part.CopyTo(destination);
            destination = destination[part.Length..];
            offset += part.Length;
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_buffer);
        _buffer = null;
    }
}
