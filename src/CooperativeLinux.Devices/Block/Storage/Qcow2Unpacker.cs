using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Compression;
using CooperativeLinux.Host.Disks;
using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Monitor.Images.Compression;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>Unpacks the compressed clusters of a qcow2 image and keeps those used last. Any thread.</summary>
/// <param name="file">The image.</param>
/// <param name="clusterSize">Bytes of each when unpacked.</param>
/// <param name="compression">How they are packed.</param>
internal sealed class Qcow2Unpacker(DiskFile file, int clusterSize, Qcow2Compression compression)
{
    // A program that reads a packed cluster in pieces of 4 KiB shall have it unpacked once.
    private const long CacheSize = 8 << 20;

    private readonly PieceCache _unpacked = new(CacheSize);
    private readonly ConcurrentBag<ZstdDecoder> _decoders = [];

    /// <summary>A cluster that was unpacked lately.</summary>
    /// <returns>Null if it is not there.</returns>
    public byte[]? Find(long position) => _unpacked.TryGet(position, out byte[]? cluster) ? cluster : null;

    /// <summary>Unpacks a cluster.</summary>
    /// <param name="position">First byte in the file.</param>
    /// <param name="length">Bytes that it takes at most; what follows its end means nothing.</param>
    /// <exception cref="IOException">It cannot be read or is damaged.</exception>
    public byte[] Unpack(long position, int length)
    {
        if (Find(position) is byte[] found)
        {
            return found;
        }

        byte[] packed = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            file.Read(packed.AsSpan(0, length), position);
            byte[] cluster = new byte[clusterSize];
            if (!(compression == Qcow2Compression.Zstd ? TryZstd(packed.AsSpan(0, length), cluster) : TryDeflate(packed, length, cluster)))
            {
                throw Qcow2Header.Damaged(file, $"a packed cluster at {position} that cannot be unpacked");
            }

            _unpacked.Add(position, cluster);
            return cluster;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(packed);
        }
    }

    private static bool TryDeflate(byte[] packed, int length, byte[] cluster)
    {
        try
        {
            using DeflateStream stream = new(new MemoryStream(packed, 0, length, writable: false), CompressionMode.Decompress);
            return stream.ReadAtLeast(cluster, cluster.Length, throwOnEndOfStream: false) == cluster.Length;
        }
        catch (InvalidDataException)
        {
            return false;
        }
    }

    private bool TryZstd(ReadOnlySpan<byte> packed, byte[] cluster)
    {
        ZstdDecoder decoder = _decoders.TryTake(out ZstdDecoder? spare) ? spare : new ZstdDecoder();
        try
        {
            return decoder.DecodeFirst(packed, cluster) == cluster.Length;
        }
        catch (InvalidImageException)
        {
            return false;
        }
        finally
        {
            _decoders.Add(decoder);
        }
    }
}
