using CooperativeLinux.Monitor.Images;
using CooperativeLinux.Monitor.Images.Compression;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images.Compression;

/// <summary>Decoders against the distribution's compressors.</summary>
public sealed class DecoderTests
{
    private const int LongRun = 1 << 20;

    public static TheoryData<string, string, string> Cases
    {
        get
        {
            TheoryData<string, string, string> cases = [];
            foreach (string sample in Samples.Names)
            {
                cases.Add("xz", "-6", sample);
                cases.Add("xz", "--check=crc64 --x86 --lzma2=preset=4", sample);
                cases.Add("xz", "--check=crc32 --block-size=65536 -T2 -1", sample);
                cases.Add("zstd", "-3", sample);
                cases.Add("zstd", "-16 --no-check --no-content-size", sample);
                cases.Add("lz4", "-l -1", sample);
                cases.Add("lz4", "-l -9", sample);
                cases.Add("gzip", "-6", sample);
            }

            cases.Add("xz", "-0 --lzma2=preset=0,dict=32MiB", Samples.LongDistanceName);
            cases.Add("zstd", "-1 --long=27", Samples.LongDistanceName);
            cases.Add("zstd", "-3", Samples.LongDistanceName);
            cases.Add("lz4", "-l -1", Samples.LongDistanceName);
            cases.Add("zstd", "--ultra -22 --long=27 --no-content-size", "mixed");
            cases.Add("xz", "-9e", "mixed");
            foreach (string sample in (string[])["code", "text"])
            {
                cases.Add("xz", "-0 --check=none", sample);
                cases.Add("xz", "-3 --check=sha256", sample);
                cases.Add("xz", "--check=none --lzma2=lc=0,lp=4,pb=4", sample);
                cases.Add("xz", "--lzma2=lc=4,lp=0,pb=0,mode=fast", sample);
                cases.Add("xz", "--lzma2=lc=1,lp=3,pb=1,dict=4096", sample);
                cases.Add("xz", "--x86=start=4096 --lzma2", sample);
                cases.Add("zstd", "--fast=5", sample);
                cases.Add("zstd", "-1 --no-compress-literals", sample);
                cases.Add("zstd", "-9 -B4096 -T2", sample);
                cases.Add("zstd", "-12 --format=zstd --no-content-size --zstd=wlog=10", sample);
                cases.Add("gzip", "-1 -N", sample);
                cases.Add("gzip", "-9 -n", sample);
            }

            return cases;
        }
    }

    internal static int Decode(string tool, ReadOnlySpan<byte> packed, Span<byte> output)
    {
        switch (tool)
        {
            case "xz":
                return new XzDecoder().Decode(packed, output);
            case "zstd":
                return new ZstdDecoder().Decode(packed, output);
            case "lz4":
                return Lz4LegacyDecoder.Decode(packed, output);
            default:
                byte[] bytes = GzipDecoder.Decode(packed, output.Length);
                bytes.CopyTo(output);
                return bytes.Length;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Decode_OutputOfTheTool_GivesTheOriginal(string tool, string options, string sample)
    {
        byte[] original = Samples.Get(sample);
        byte[] packed = CompressionTools.Compress(tool, $"{options} -q -c", original);
        GuardedOutput output = new(original.Length);

        int written = Decode(tool, packed, output.Span);

        Assert.Equal(original.Length, written);
        Assert.True(output.Span.SequenceEqual(original));
        output.AssertMarginsUntouched();
    }

    [Theory]
    [InlineData("xz", "-6")]
    [InlineData("zstd", "-3")]
    [InlineData("lz4", "-l")]
    public void Decode_TwoFilesJoined_GivesBothContents(string tool, string options)
    {
        byte[] first = Samples.Get("code");
        byte[] second = Samples.Get("text");
        byte[] packed =
        [
            .. CompressionTools.Compress(tool, $"{options} -q -c", first),
            .. CompressionTools.Compress(tool, $"{options} -q -c", second),
        ];
        byte[] output = new byte[first.Length + second.Length];

        int written = Decode(tool, packed, output);

        Assert.Equal(output.Length, written);
        Assert.True(output.AsSpan().SequenceEqual([.. first, .. second]));
    }

    [Theory]
    [InlineData("xz", "-6")]
    [InlineData("zstd", "-3")]
    [InlineData("zstd", "-3 --no-content-size")]
    [InlineData("lz4", "-l")]
    [InlineData("gzip", "-6")]
    public void Decode_DestinationOneByteTooShort_IsRefused(string tool, string options)
    {
        byte[] original = Samples.Get("mixed");
        byte[] packed = CompressionTools.Compress(tool, $"{options} -q -c", original);
        GuardedOutput output = new(original.Length - 1);

        Assert.Throws<InvalidImageException>(() => Decode(tool, packed, output.Span));

        output.AssertMarginsUntouched();
    }

    [Theory]
    [InlineData("xz", "-6 --check=crc64", "check sum")]
    [InlineData("zstd", "-3 --check", "check sum")]
    public void Decode_ChangedCheckSum_SaysSo(string tool, string options, string message)
    {
        byte[] packed = CompressionTools.Compress(tool, $"{options} -q -c", Samples.Get("text"));
        int check = tool == "zstd" ? packed.Length - 1 : PositionOfXzCheck(packed);
        packed[check] ^= 0x10;

        InvalidImageException exception =
            Assert.Throws<InvalidImageException>(() => Decode(tool, packed, new byte[LongRun]));

        Assert.Contains(message, exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--delta=dist=4 --lzma2", "filter 0x3")]
    [InlineData("--arm --lzma2", "filter 0x7")]
    [InlineData("--x86 --delta --lzma2", "filter 0x3")]
    public void Decode_XzWithAnotherFilter_SaysSo(string options, string message)
    {
        byte[] packed = CompressionTools.Compress("xz", $"{options} -q -c", Samples.Get("text"));

        InvalidImageException exception =
            Assert.Throws<InvalidImageException>(() => Decode("xz", packed, new byte[LongRun]));

        Assert.Contains(message, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Decode_ZstdSkippableFrame_IsSkipped()
    {
        byte[] original = Samples.Get("text");
        byte[] frame = CompressionTools.Compress("zstd", "-3 -q -c", original);
        byte[] packed = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3, .. frame];
        byte[] output = new byte[original.Length];

        int written = Decode("zstd", packed, output);

        Assert.Equal(original.Length, written);
        Assert.True(output.AsSpan().SequenceEqual(original));
    }

    [Fact]
    public void Crc64_CheckString_GivesPublishedValue()
    {
        ulong crc = new Crc64().Compute("123456789"u8);

        Assert.Equal(0x995dc9bbdf1939faul, crc);
    }

    // Behind it: index (with one record), footer of 12 bytes whose second word counts the index in words less one.
    private static int PositionOfXzCheck(byte[] packed)
    {
        int indexLength = (BitConverter.ToInt32(packed, packed.Length - 8) + 1) * 4;
        return packed.Length - 12 - indexLength - 8;
    }
}
