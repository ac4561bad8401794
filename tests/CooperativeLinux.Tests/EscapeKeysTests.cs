using System.Text;

namespace CooperativeLinux.Tests;

public sealed class EscapeKeysTests
{
    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("a\u001d\u001db", "a\u001db")]
    [InlineData("a\u001dzb", "a\u001dzb")]
    [InlineData("\u001ds", "<ShutDown:>")]
    [InlineData("\u001dR", "<Reboot:>")]
    [InlineData("a\u001dqb", "a<Quit:>b")]
    [InlineData("\u001d?x", "<Help:>x")]
    [InlineData("\u001dt", "<Clock:>")]
    [InlineData("\u001dxsy", "<SysRq:s>y")]
    [InlineData("\u001dxS", "<SysRq:s>")]
    [InlineData("\u001dm1G\rx", "<Echo:\r\nmemory: ><Echo:1><Echo:G><Memory:1G>x")]
    [InlineData("\u001dm12\u007f\u007f\u007f6G\n", "<Echo:\r\nmemory: ><Echo:1><Echo:2><Echo:\b \b><Echo:\b \b><Echo:6><Echo:G><Memory:6G>")]
    [InlineData("\u001dm1\u0003x", "<Echo:\r\nmemory: ><Echo:1><Echo:\r\n>x")]
    public void Filter_Input_GivesTextAndCommands(string typed, string expected)
    {
        // Whole, and byte by byte: a terminal may deliver either.
        Assert.Equal(expected, Run(typed, typed.Length));
        Assert.Equal(expected, Run(typed, 1));
    }

    [Fact]
    public void Help_EveryCommand_IsNamed()
    {
        Assert.All((string[])["s", "r", "q", "x", "m", "t", "d", "?"], key => Assert.Contains($"Ctrl-] {key} ", new EscapeKeys(canDetach: true).Help, StringComparison.Ordinal));
    }

    private static string Run(string typed, int pieceLength)
    {
        EscapeKeys keys = new();
        StringBuilder result = new();
        byte[] input = Encoding.Latin1.GetBytes(typed);
        byte[] forGuest = new byte[input.Length + 1];
        for (int done = 0; done < input.Length;)
        {
            ReadOnlySpan<byte> piece = input.AsSpan(done, Math.Min(pieceLength, input.Length - done));
            (int used, int length, EscapeCommand command, string argument) = keys.Filter(piece, forGuest);
            done += used;
            result.Append(Encoding.Latin1.GetString(forGuest, 0, length));
            if (command != EscapeCommand.None)
            {
                result.Append('<').Append(command).Append(':').Append(argument).Append('>');
            }
        }

        return result.ToString();
    }
}
