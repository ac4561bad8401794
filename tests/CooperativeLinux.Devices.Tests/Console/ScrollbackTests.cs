using System.Text;
using CooperativeLinux.Devices.Console;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Console;

public sealed class ScrollbackTests
{
    [Fact]
    public void Add_MoreThanCapacity_KeepsTheLast()
    {
        Scrollback scrollback = new(8);

        scrollback.Add("abcde"u8);
        Assert.Equal("abcde"u8.ToArray(), scrollback.ToArray());
        scrollback.Add("fghij"u8);
        Assert.Equal("cdefghij"u8.ToArray(), scrollback.ToArray());
        scrollback.Add("0123456789ABC"u8);
        Assert.Equal("56789ABC"u8.ToArray(), scrollback.ToArray());
        scrollback.Add("x"u8);
        Assert.Equal("6789ABCx"u8.ToArray(), scrollback.ToArray());
        Assert.Equal(24, scrollback.TotalBytes);
    }

    [Fact]
    public void ToArray_RandomPieces_IsTheTailOfAll()
    {
        int seed = Environment.TickCount;
        Random random = new(seed);
        Scrollback scrollback = new(37);
        StringBuilder all = new();
        for (int i = 0; i < 2000; i++)
        {
            string piece = new((char)('a' + (i % 26)), random.Next(60));
            all.Append(piece);
            scrollback.Add(Encoding.ASCII.GetBytes(piece));
            string expected = all.ToString()[Math.Max(0, all.Length - 37)..];
            Assert.True(expected == Encoding.ASCII.GetString(scrollback.ToArray()), $"seed {seed}, piece {i}");
        }
    }

    [Theory]
    [InlineData(1, "three")]
    [InlineData(2, "two\nthree")]
    [InlineData(9, "one\ntwo\nthree")]
    public void LastLines_Count_GivesThatMany(int lines, string expected)
    {
        Scrollback scrollback = new(100);
        scrollback.Add("one\r\ntwo\r\nthree\r\n"u8);

        Assert.Equal(expected, scrollback.LastLines(lines));
    }

    [Fact]
    public void LastLines_Nothing_IsEmpty()
    {
        Assert.Equal(string.Empty, new Scrollback(10).LastLines(5));
    }
}
