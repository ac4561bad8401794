using CooperativeLinux.Monitor.Store;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Store;

public sealed class StorePathTests
{
    [Theory]
    [InlineData("/", true)]
    [InlineData("/a/b-c_D@9", true)]
    [InlineData("", false)]
    [InlineData("a", false)]
    [InlineData("/a/", false)]
    [InlineData("/a//b", false)]
    [InlineData("//", false)]
    [InlineData("/a b", false)]
    [InlineData("/a.b", false)]
    [InlineData("/../x", false)]
    [InlineData("/\u00e4", false)]
    [InlineData("/a\0b", false)]
    public void IsValid_Path_IsJudged(string path, bool expected)
    {
        Assert.Equal(expected, StorePath.IsValid(path));
    }

    [Fact]
    public void TryResolve_Relative_IsBelowTheDomain()
    {
        Assert.True(StorePath.TryResolve("device/vbd", 3, out string path));
        Assert.Equal("/local/domain/3/device/vbd", path);
        Assert.True(StorePath.TryResolve("/x", 3, out path));
        Assert.Equal("/x", path);
        Assert.False(StorePath.TryResolve(string.Empty, 3, out _));
    }

    [Fact]
    public void TryResolve_TooLong_IsRefused()
    {
        Assert.True(StorePath.TryResolve(new string('a', 2048), 1, out _));
        Assert.False(StorePath.TryResolve(new string('a', 2049), 1, out _));
        Assert.True(StorePath.TryResolve("/" + new string('a', 3071), 1, out _));
        Assert.False(StorePath.TryResolve("/" + new string('a', 3072), 1, out _));
    }

    [Theory]
    [InlineData("/a/b", "/a", true)]
    [InlineData("/a", "/a", true)]
    [InlineData("/ab", "/a", false)]
    [InlineData("/a", "/a/b", false)]
    [InlineData("/a", "/", true)]
    [InlineData("/", "/", true)]
    public void IsAtOrBelow_Paths_AreCompared(string path, string ancestor, bool expected)
    {
        Assert.Equal(expected, StorePath.IsAtOrBelow(path, ancestor));
    }

    [Fact]
    public void Parts_OfPath_AreSplit()
    {
        Assert.Equal("/a", StorePath.Parent("/a/b"));
        Assert.Equal("/", StorePath.Parent("/a"));
        Assert.Equal("b", StorePath.Name("/a/b"));
    }
}
