using CooperativeLinux.Configuration;

namespace CooperativeLinux.Cli.Tests;

public sealed class DiskOptionTests
{
    [Theory]
    [InlineData("a.img", "a.img", false, null, null)]
    [InlineData("a.img,ro", "a.img", true, null, null)]
    [InlineData("/x/a.img,overlay=b.img,name=xvdb", "/x/a.img", false, "b.img", "xvdb")]
    [InlineData("a,,b.img,overlay=c,,=d,ro", "a,b.img", true, "c,=d", null)]
    [InlineData("a=b,name=xvdzz", "a=b", false, null, "xvdzz")]
    public void TryParse_Disk_HasAllItsParts(string text, string path, bool isReadOnly, string? overlay, string? name)
    {
        Assert.True(DiskOption.TryParse(text, out DiskOption disk, out string error), error);
        Assert.Equal(new DiskOption { Path = path, IsReadOnly = isReadOnly, OverlayPath = overlay, Name = name }, disk);
    }

    [Theory]
    [InlineData(null, "names no file")]
    [InlineData(",ro", "names no file")]
    [InlineData("a,RO", "'RO'")]
    [InlineData("a,", "''")]
    [InlineData("a,ro=1", "'ro=1'")]
    [InlineData("a,overlay", "'overlay'")]
    [InlineData("a,name=", "'name='")]
    [InlineData("a,name=xvd", "'xvd'")]
    [InlineData("a,name=xvdA", "'xvdA'")]
    [InlineData("a,name=xvdabc", "'xvdabc'")]
    public void TryParse_NoDisk_SaysWhatIsWrong(string? text, string part)
    {
        Assert.False(DiskOption.TryParse(text, out _, out string error));
        Assert.Contains(part, error, StringComparison.Ordinal);
    }

    [Fact]
    public void TryAssignNames_Mixed_FillsTheGaps()
    {
        DiskOption plain = new() { Path = "x" };

        Assert.True(DiskOption.TryAssignNames([plain, plain with { Name = "xvdb" }, plain, plain with { Name = "xvdaa" }], out IReadOnlyList<int> indexes, out _));
        Assert.Equal([0, 1, 2, 26], indexes);
        Assert.False(DiskOption.TryAssignNames([plain with { Name = "xvdb" }, plain with { Name = "xvdb" }], out _, out string error));
        Assert.Contains("xvdb", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1M", 1L << 20)]
    [InlineData("100", 100L << 20)]
    [InlineData("8G", 8L << 30)]
    [InlineData("16TiB", 16L << 40)]
    [InlineData("2048K", 2L << 20)]
    public void DiskSize_Valid_IsInBytes(string text, long expected)
    {
        Assert.True(DiskSize.TryParse(text, out long bytes, out string error), error);
        Assert.Equal(expected, bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("17T")]
    [InlineData("99999999999999999999")]
    [InlineData("1000K")]
    [InlineData("-1G")]
    [InlineData("1.5G")]
    public void DiskSize_Invalid_IsRefused(string text) => Assert.False(DiskSize.TryParse(text, out _, out _));
}
