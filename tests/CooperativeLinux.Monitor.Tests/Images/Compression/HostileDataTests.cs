using CooperativeLinux.Monitor.Images;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images.Compression;

/// <summary>Truncated and damaged data: one clear error, or some output; nothing else, and nothing beyond the buffer.</summary>
public sealed class HostileDataTests
{
    private const int Flips = 400;

    public static TheoryData<string, string> Formats => new()
    {
        { "xz", "-6 --check=none" },
        { "xz", "-6 --x86 --lzma2" },
        { "zstd", "-3 --no-check" },
        { "zstd", "-19 --check" },
        { "zstd", "-1 --no-content-size --no-compress-literals" },
        { "lz4", "-l -9" },
        { "gzip", "-6" },
    };

    [Theory]
    [MemberData(nameof(Formats))]
    public void Decode_Truncated_IsRefusedAtEveryLength(string tool, string options)
    {
        byte[] original = [.. Samples.Text(6000, 7), .. new byte[500], .. Samples.Random(300, 8)];
        byte[] packed = CompressionTools.Compress(tool, $"{options} -q -c", original);
        GuardedOutput output = new(original.Length);

        for (int length = 0; length < packed.Length; length++)
        {
            // The legacy LZ4 format has no end mark: a cut between blocks cannot be seen here, and gives less output.
            if (tool == "lz4" && length == 4)
            {
                continue;
            }

            InvalidImageException exception = Assert.Throws<InvalidImageException>(
                () => DecoderTests.Decode(tool, packed.AsSpan(0, length), output.Span));
            Assert.DoesNotContain('\n', exception.Message);
        }

        output.AssertMarginsUntouched();
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Decode_FlippedBits_NeverEscapes(string tool, string options)
    {
        byte[] original = [.. Samples.Text(20_000, 9), .. new byte[5000], .. Samples.Random(3000, 10)];
        byte[] packed = CompressionTools.Compress(tool, $"{options} -q -c", original);
        Random random = new(11);
        GuardedOutput output = new(original.Length);
        int refused = 0;

        for (int round = 0; round < Flips; round++)
        {
            byte[] damaged = [.. packed];
            int flips = random.Next(1, 4);
            for (int flip = 0; flip < flips; flip++)
            {
                // Tables and headers are at the front: half of the damage goes there.
                int position = random.Next(random.Next(2) == 0 ? Math.Min(packed.Length, 200) : packed.Length);
                damaged[position] ^= (byte)(1 << random.Next(8));
            }

            refused += TryDecode(tool, damaged, output) ? 0 : 1;
        }

        output.AssertMarginsUntouched();
        Assert.True(refused > Flips / 20, $"only {refused} refused");
    }

    [Theory]
    [InlineData("xz")]
    [InlineData("zstd")]
    [InlineData("lz4")]
    [InlineData("gzip")]
    public void Decode_RandomBytesBehindValidStart_NeverEscapes(string tool)
    {
        byte[] packed = CompressionTools.Compress(
            tool, tool == "lz4" ? "-l -q -c" : "-q -c", Samples.Text(3000, 12));
        GuardedOutput output = new(100_000);

        for (int round = 0; round < 200; round++)
        {
            byte[] damaged = [.. packed];
            int kept = round % 60;
            Samples.Random(damaged.Length - kept, round).CopyTo(damaged, kept);
            TryDecode(tool, damaged, output);
        }

        output.AssertMarginsUntouched();
    }

    private static bool TryDecode(string tool, byte[] packed, GuardedOutput output)
    {
        try
        {
            DecoderTests.Decode(tool, packed, output.Span);
            return true;
        }
        catch (InvalidImageException exception)
        {
            Assert.DoesNotContain('\n', exception.Message);
            return false;
        }
    }
}
