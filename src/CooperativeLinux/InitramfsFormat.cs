namespace CooperativeLinux;

/// <summary>Recognises what a kernel can unpack as its initramfs: a cpio archive, or a packed one. A kernel given
/// anything else only says that it finds no root file system.</summary>
internal static class InitramfsFormat
{
    // usr/gen_init_cpio.c and lib/decompress.c in the kernel's sources.
    private static readonly byte[][] s_beginnings =
    [
        [.. "070701"u8],
        [.. "070702"u8],
        [0x1f, 0x8b],
        [0x1f, 0x9e],
        [.. "BZh"u8],
        [0x5d, 0x00, 0x00],
        [0xfd, .. "7zXZ"u8],
        [0x89, .. "LZO"u8],
        [0x02, 0x21, 0x4c, 0x18],
        [0x28, 0xb5, 0x2f, 0xfd],
    ];

    /// <summary>Whether a file begins like one. The position stays at the beginning.</summary>
    public static bool IsRecognised(Stream file)
    {
        Span<byte> bytes = stackalloc byte[6];
        int length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        file.Position = 0;
        foreach (byte[] beginning in s_beginnings)
        {
            if (bytes[..length].StartsWith(beginning))
            {
                return true;
            }
        }

        return false;
    }
}
