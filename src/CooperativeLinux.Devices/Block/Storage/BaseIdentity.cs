using System.IO.Hashing;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block.Storage;

/// <summary>By what an overlay knows its base again. A changed base under an overlay is a broken file system.</summary>
/// <param name="Length">Bytes.</param>
/// <param name="LastWriteTimeUtc">When it was last changed; <see cref="DateTime.MinValue"/> for a device, where that says nothing.</param>
/// <param name="Fingerprint">XXH128 of samples of the content.</param>
internal readonly record struct BaseIdentity(long Length, DateTime LastWriteTimeUtc, UInt128 Fingerprint)
{
    private const int Samples = 64;
    private const int SampleSize = 64 << 10;

    /// <summary>Looks at a base: 64 pieces of 64 KiB, spread evenly, the first at the start and the last at the end.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static BaseIdentity Of(DiskFile file)
    {
        long length = file.Length;
        byte[] sample = new byte[SampleSize];
        XxHash128 hash = new();
        long last = Math.Max(0, length - SampleSize);
        for (int i = 0; i < Samples; i++)
        {
            file.Read(sample, (long)((UInt128)last * (UInt128)i / (Samples - 1)));
            hash.Append(sample);
        }

        return new BaseIdentity(length, file.LastWriteTimeUtc, hash.GetCurrentHashAsUInt128());
    }

    /// <summary>What differs from how it was, as the end of a sentence about the base; null if it is the same.</summary>
    /// <param name="then">How it was.</param>
    public string? Difference(BaseIdentity then)
    {
        return Length != then.Length ? $"has now {Length} bytes and not {then.Length}"
            : Fingerprint != then.Fingerprint ? "has another content now"
            : LastWriteTimeUtc != then.LastWriteTimeUtc ? $"was written at {LastWriteTimeUtc:yyyy-MM-dd HH:mm:ss} UTC"
            : null;
    }
}
