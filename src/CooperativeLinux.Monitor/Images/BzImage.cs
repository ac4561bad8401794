using System.Buffers.Binary;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Monitor.Images.Compression;

namespace CooperativeLinux.Monitor.Images;

/// <summary>
/// Finds and unpacks the ELF kernel inside a bzImage. Layout: the x86 Linux boot protocol, versions 2.08 and later.
/// </summary>
internal static class BzImage
{
    /// <summary>Largest unpacked kernel accepted, in bytes; real ones have 50 to 70 MB.</summary>
    public const int MaximumUnpacked = 512 << 20;

    private const int SetupSectorsOffset = 0x1f1;
    private const int BootFlagOffset = 0x1fe;
    private const int HeaderMagicOffset = 0x202;
    private const int VersionOffset = 0x206;
    private const int PayloadOffsetOffset = 0x248;
    private const int PayloadLengthOffset = 0x24c;
    private const int HeaderEnd = 0x250;
    private const int SectorSize = 512;
    private const int DefaultSetupSectors = 4;
    private const ushort BootFlag = 0xaa55;
    private const ushort FirstVersionWithPayload = 0x208;
    private const int UnpackedSizeLength = 4;

    /// <summary>Whether the file starts with the header of a Linux x86 boot image.</summary>
    public static bool IsBzImage(ReadOnlySpan<byte> file) =>
        file.Length >= VersionOffset + 2
        && BinaryPrimitives.ReadUInt16LittleEndian(file[BootFlagOffset..]) == BootFlag
        && file[HeaderMagicOffset..].StartsWith("HdrS"u8);

    /// <summary>Unpacks the kernel.</summary>
    /// <param name="file">A file for which <see cref="IsBzImage"/> holds.</param>
    /// <exception cref="InvalidImageException">Truncated, corrupt, or of an unknown compression.</exception>
    public static ReadOnlyMemory<byte> Unpack(ReadOnlyMemory<byte> file)
    {
        ReadOnlySpan<byte> header = file.Span;
        if (header.Length < HeaderEnd)
        {
            throw new InvalidImageException("the kernel image is truncated");
        }

        if (BinaryPrimitives.ReadUInt16LittleEndian(header[VersionOffset..]) < FirstVersionWithPayload)
        {
            throw new InvalidImageException("the kernel image is older than Linux 2.6.26 and cannot be unpacked");
        }

        int setupSectors = header[SetupSectorsOffset];
        long start = ((setupSectors == 0 ? DefaultSetupSectors : setupSectors) + 1) * SectorSize;
        start += BinaryPrimitives.ReadUInt32LittleEndian(header[PayloadOffsetOffset..]);
        long length = BinaryPrimitives.ReadUInt32LittleEndian(header[PayloadLengthOffset..]);
        if (start + length > header.Length)
        {
            throw new InvalidImageException(
                $"the kernel image is truncated: it has {header.Length} bytes instead of at least {start + length}");
        }

        if (length <= UnpackedSizeLength)
        {
            throw new InvalidImageException("the kernel image has no payload");
        }

        ReadOnlyMemory<byte> payload = file.Slice((int)start, (int)length);
        ReadOnlySpan<byte> packed = payload.Span;
        if (packed.StartsWith(GzipDecoder.Magic))
        {
            // Here the size is part of the compressed file.
            return GzipDecoder.Decode(packed, MaximumUnpacked);
        }

        uint size = BinaryPrimitives.ReadUInt32LittleEndian(packed[^UnpackedSizeLength..]);
        payload = payload[..^UnpackedSizeLength];
        packed = payload.Span;
        if (packed.StartsWith(ElfFile.Magic))
        {
            return payload;
        }

        uint magic = packed.Length >= 4 ? BinaryPrimitives.ReadUInt32LittleEndian(packed) : 0;
        bool isXz = packed.StartsWith(XzDecoder.Magic);
        if (!isXz && magic is not (Lz4LegacyDecoder.Magic or ZstdDecoder.Magic))
        {
            throw new InvalidImageException($"the kernel is compressed with {NameOf(packed)}, which is not supported");
        }

        if (size > MaximumUnpacked)
        {
            throw new InvalidImageException($"the kernel image states an unpacked size of {size} bytes, which is absurd");
        }

        byte[] kernel = GC.AllocateUninitializedArray<byte>((int)size);
        HostAllocation.ExpectFill(kernel);
        int unpacked = isXz ? new XzDecoder().Decode(packed, kernel)
            : magic == ZstdDecoder.Magic ? new ZstdDecoder().Decode(packed, kernel)
            : Lz4LegacyDecoder.Decode(packed, kernel);
        return unpacked == kernel.Length
            ? kernel
            : throw new InvalidImageException(
                $"the kernel unpacks to {unpacked} bytes instead of the {kernel.Length} that the image states");
    }

    private static string NameOf(ReadOnlySpan<byte> packed)
    {
        if (packed.StartsWith("BZh"u8))
        {
            return "bzip2";
        }

        if (packed.StartsWith<byte>([0x5d, 0, 0]))
        {
            return "LZMA";
        }

        return packed.StartsWith<byte>([0x89, (byte)'L', (byte)'Z', (byte)'O']) ? "LZO" : "an unknown method";
    }
}
