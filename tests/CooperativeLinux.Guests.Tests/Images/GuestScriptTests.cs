using CooperativeLinux.Guests.Images;

namespace CooperativeLinux.Guests.Tests.Images;

public sealed class GuestScriptTests
{
    [Theory]
    [InlineData("boot\r\ncolinux: begin\r\nhello\r\n\r\ncolinux: exit 0\r\n", "hello\n", 0)]
    [InlineData("colinux: begin\nno end of line\ncolinux: exit 127\n[ 5.1] reboot: Power down\n", "no end of line", 127)]
    [InlineData("colinux: begin\n\ncolinux: exit 1\n", "", 1)]
    [InlineData("colinux: begin\na\ncolinux: exit 3\nb\n\ncolinux: exit 0\n", "a\ncolinux: exit 3\nb\n", 0)]
    public void Parse_CompleteRun_GivesOutputAndStatus(string console, string output, int status)
    {
        Assert.Equal((output, status), GuestScript.Parse(console));
    }

    [Theory]
    [InlineData("")]
    [InlineData("colinux: begin\nhello\n")]
    [InlineData("\ncolinux: exit 0\n")]
    [InlineData("colinux: begin\n\ncolinux: exit \n")]
    public void Parse_IncompleteRun_IsNull(string console)
    {
        Assert.Null(GuestScript.Parse(console));
    }

    [Fact]
    public async Task WriteAsync_Script_BecomesAnExecutableFile()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("script.cpio");

        await GuestScript.WriteAsync(path, "exit 3", cancellationToken: TestContext.Current.CancellationToken);

        IReadOnlyList<CpioReader.Entry> entries = CpioReader.Read(await File.ReadAllBytesAsync(path, TestContext.Current.CancellationToken));
        Assert.Equal("#!/bin/sh\nexit 3", entries[^1].Text);
        Assert.Equal(0x81ED, entries[^1].Mode);
    }
}
