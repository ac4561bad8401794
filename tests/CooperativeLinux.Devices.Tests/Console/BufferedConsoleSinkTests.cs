using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using CooperativeLinux.Devices.Console;
using Xunit;

namespace CooperativeLinux.Devices.Tests.Console;

public sealed class BufferedConsoleSinkTests
{
    [Fact]
    public void Write_ManyPieces_ArriveInOrder()
    {
        MemorySink sink = new();
        StringBuilder expected = new();
        using (BufferedConsoleSink buffered = new(sink, 1 << 20))
        {
            for (int i = 0; i < 5000; i++)
            {
                expected.Append(i).Append(' ');
                buffered.Write(Encoding.ASCII.GetBytes($"{i} "));
            }
        }

        Assert.Equal(expected.ToString(), sink.Text);
    }

    [Fact]
    public void Write_SinkBlocks_ReturnsAtOnceAndTellsWhatWasLost()
    {
        MemorySink sink = new();
        sink.Gate.Reset();
        BufferedConsoleSink buffered = new(sink, 100);

        for (int i = 0; i < 1000; i++)
        {
            buffered.Write("0123456789"u8);
        }

        sink.Gate.Set();
        buffered.Dispose();
        string text = sink.Text;

        // In one piece or in several, as the thread came to it.
        MatchCollection lost = Regex.Matches(text, @"\r\n\[(\d+) bytes of output lost\]\r\n");
        int kept = Regex.Replace(text, @"\r\n\[\d+ bytes of output lost\]\r\n", "").Length;
        Assert.InRange(kept, 100, 300);
        Assert.Equal(10_000 - kept, lost.Sum(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)));
    }
}
