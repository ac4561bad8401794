using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Processor.Memory;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Grants;

public sealed class GuestPagesTests : IDisposable
{
    private readonly GuestMemory _memory = new(16 * GuestMemory.PageSize);
    private readonly GuestPages _pages;

    public GuestPagesTests()
    {
        Assert.True(GuestPages.TryCreate(_memory, [9, 2, 5], out GuestPages? pages));
        _pages = pages;
    }

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void TryCreate_MissingFrame_IsRefused()
    {
        Assert.False(GuestPages.TryCreate(_memory, [3, 16], out _));
    }

    [Fact]
    public void Copy_AcrossPages_FollowsTheFrames()
    {
        byte[] bytes = new byte[9000];
        new Random(1).NextBytes(bytes);

        _pages.CopyFrom(100, bytes);

        byte[] read = new byte[9000];
        _pages.CopyTo(100, read);
        Assert.Equal(bytes, read);
        Assert.Equal(bytes[0], _memory.Frame(9)[100]);
        Assert.Equal(bytes[4096 - 100], _memory.Frame(2)[0]);
        Assert.Equal(bytes[8192 - 100], _memory.Frame(5)[0]);
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(12288, 1)]
    [InlineData(12280, 9)]
    [InlineData(int.MaxValue, 1)]
    [InlineData(0, 12289)]
    public void Copy_OutOfRange_Throws(int offset, int length)
    {
        byte[] bytes = new byte[length];

        Assert.Throws<ArgumentOutOfRangeException>(() => _pages.CopyTo(offset, bytes));
        Assert.Throws<ArgumentOutOfRangeException>(() => _pages.CopyFrom(offset, bytes));
    }

    [Theory]
    [InlineData(-4)]
    [InlineData(4094)]
    [InlineData(12286)]
    [InlineData(12288)]
    public void At_NotWithinAPage_Throws(int offset)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _pages.ReadIndex(offset));
    }

    [Fact]
    public void Ring_WrappingIndex_SplitsTheCopy()
    {
        _pages.CopyToRing(1024, 2048, uint.MaxValue - 1, "abcd"u8);

        byte[] read = new byte[4];
        _pages.CopyFromRing(1024, 2048, uint.MaxValue - 1, read);
        Assert.Equal("abcd"u8.ToArray(), read);
        Assert.Equal((byte)'b', _memory.Frame(9)[1024 + 2047]);
        Assert.Equal((byte)'c', _memory.Frame(9)[1024]);
        Assert.Throws<ArgumentOutOfRangeException>(() => _pages.CopyFromRing(0, 1024, 0, new byte[1025]));
    }
}
