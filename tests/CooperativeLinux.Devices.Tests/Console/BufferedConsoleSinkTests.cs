using System.Text;
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
        int kept = text.IndexOf("\r\n[", StringComparison.Ordinal);
        Assert.InRange(kept, 100, 300);
        Assert.Contains($"[{10_000 - kept} bytes of output lost]", text, StringComparison.Ordinal);
    }
}
