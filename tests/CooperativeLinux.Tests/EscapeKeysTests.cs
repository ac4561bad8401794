using System.Text;

namespace CooperativeLinux.Tests;

public sealed class EscapeKeysTests
{
    [Theory]
    [InlineData("plain text", "plain text", "None", "")]
    [InlineData("ab\u001dqcd", "ab", "Quit", "cd")]
    [InlineData("ab\u001d?cd", "ab", "Help", "cd")]
    [InlineData("\u001d\u001dx", "\u001dx", "None", "")]
    [InlineData("\u001dx", "\u001dx", "None", "")]
    [InlineData("a\u001d", "a", "None", "")]
    public void Filter_Text_SplitsCommandsOff(string typed, string forGuest, string command, string rest)
    {
        byte[] input = Encoding.ASCII.GetBytes(typed);
        byte[] output = new byte[input.Length + 1];

        (int used, int length, EscapeCommand found) = new EscapeKeys().Filter(input, output);

        Assert.Equal(forGuest, Encoding.ASCII.GetString(output, 0, length));
        Assert.Equal(command, found.ToString());
        Assert.Equal(rest, typed[used..]);
    }

    [Fact]
    public void Filter_KeyAndLetterInTwoPieces_IsACommand()
    {
        EscapeKeys keys = new();
        byte[] output = new byte[2];

        keys.Filter([EscapeKeys.Key], output);
        (_, int length, EscapeCommand command) = keys.Filter("q"u8, output);

        Assert.Equal(0, length);
        Assert.Equal(EscapeCommand.Quit, command);
    }
}
