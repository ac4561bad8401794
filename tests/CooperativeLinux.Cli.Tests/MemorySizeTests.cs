using CooperativeLinux.Configuration;

namespace CooperativeLinux.Cli.Tests;

public sealed class MemorySizeTests
{
    [Theory]
    [InlineData("256", 256L << 20)]
    [InlineData("256M", 256L << 20)]
    [InlineData("256m", 256L << 20)]
    [InlineData("256MiB", 256L << 20)]
    [InlineData("2 GB", 2L << 30)]
    [InlineData("262144K", 256L << 20)]
    [InlineData("128M", 128L << 20)]
    [InlineData("64G", 64L << 30)]
    public void TryParse_UsualForms_AreUnderstood(string text, long expected)
    {
        Assert.True(MemorySize.TryParse(text, out long bytes, out _));
        Assert.Equal(expected, bytes);
    }

    [Theory]
    [InlineData("", "a size is")]
    [InlineData(null, "a size is")]
    [InlineData("M", "a size is")]
    [InlineData("-1G", "a size is")]
    [InlineData("1.5G", "a size is")]
    [InlineData("1X", "a size is")]
    [InlineData("1Gib ", null)]
    [InlineData("1GiBs", "a size is")]
    [InlineData("127M", "the least is 128M")]
    [InlineData("0", "the least is 128M")]
    [InlineData("65G", "the most is 64G")]
    [InlineData("99999999999999999999", "the most is 64G")]
    [InlineData("9999999999999T", "the most is 64G")]
    [InlineData("200001K", "whole number of MiB")]
    public void TryParse_OtherText_SaysWhy(string? text, string? reason)
    {
        Assert.Equal(reason is null, MemorySize.TryParse(text, out _, out string error));
        Assert.Contains(reason ?? "", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(512L << 20, "512M")]
    [InlineData(2L << 30, "2G")]
    [InlineData(1000, "1000 bytes")]
    public void Format_Sizes_UseTheLargestUnit(long bytes, string expected)
    {
        Assert.Equal(expected, MemorySize.Format(bytes));
    }
}
