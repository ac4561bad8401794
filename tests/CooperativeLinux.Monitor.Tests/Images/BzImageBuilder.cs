using System.Buffers.Binary;

namespace CooperativeLinux.Monitor.Tests.Images;

/// <summary>Wraps a packed kernel as the kernel's build does.</summary>
internal static class BzImageBuilder
{
    /// <summary>Makes an image.</summary>
    /// <param name="packed">The compressed kernel.</param>
    /// <param name="size">Unpacked size to append; null for gzip, which has it already.</param>
    /// <param name="setupSectors">Number of setup sectors; 0 means 4.</param>
    public static byte[] Wrap(byte[] packed, int? size, byte setupSectors = 39)
    {
        const int PayloadOffset = 0x2cc;
        int start = ((setupSectors == 0 ? 4 : setupSectors) + 1) * 512;
        int payloadLength = packed.Length + (size == null ? 0 : 4);
        byte[] image = new byte[start + PayloadOffset + payloadLength + 100];
        image[0x1f1] = setupSectors;
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(0x1fe), 0xaa55);
        "HdrS"u8.CopyTo(image.AsSpan(0x202));
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(0x206), 0x20f);
        BinaryPrimitives.WriteInt32LittleEndian(image.AsSpan(0x248), PayloadOffset);
        BinaryPrimitives.WriteInt32LittleEndian(image.AsSpan(0x24c), payloadLength);
        packed.CopyTo(image, start + PayloadOffset);
        if (size is int value)
        {
            BinaryPrimitives.WriteInt32LittleEndian(image.AsSpan(start + PayloadOffset + packed.Length), value);
        }

        return image;
    }
}
