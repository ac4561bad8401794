using System.Text;
using CooperativeLinux.Monitor.Machine;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Machine;

public sealed class ConsoleTailTests
{
    [Fact]
    public void Append_PanicSplitOverPieces_IsRecognised()
    {
        ConsoleTail tail = new();

        tail.Append(Encoding.ASCII.GetBytes("[    1.0] Kernel pan"));
        tail.Append(Encoding.ASCII.GetBytes("ic - not syncing: no root\r\n[    1.1] more\r\n"));

        Assert.Equal("Kernel panic - not syncing: no root", tail.Panic);
        Assert.Equal(["[    1.0] Kernel panic - not syncing: no root", "[    1.1] more"], tail.Lines());
    }

    [Fact]
    public void Append_ManyLines_KeepsTheLast()
    {
        ConsoleTail tail = new(2);

        tail.Append(Encoding.ASCII.GetBytes("a\nb\nc\nunfinished"));

        Assert.Equal(["b", "c", "unfinished"], tail.Lines());
        Assert.Null(tail.Panic);
    }

    [Fact]
    public void Append_EndlessLine_IsBroken()
    {
        ConsoleTail tail = new();

        tail.Append(new byte[100_000]);

        Assert.All(tail.Lines(), line => Assert.True(line.Length <= 1024));
    }
}
