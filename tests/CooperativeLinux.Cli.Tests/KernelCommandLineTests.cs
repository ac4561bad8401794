namespace CooperativeLinux.Cli.Tests;

public sealed class KernelCommandLineTests
{
    [Theory]
    [InlineData("xterm-256color", "console=hvc0 quiet TERM=xterm-256color")]
    [InlineData("dumb", "console=hvc0 quiet")]
    [InlineData("", "console=hvc0 quiet")]
    [InlineData(null, "console=hvc0 quiet")]
    [InlineData("x init=/bin/evil", "console=hvc0 quiet")]
    public void Create_TypeOfTerminal_IsPassedIfPlain(string? terminal, string expected)
    {
        Assert.Equal(expected, KernelCommandLine.Create(true, terminal, []));
    }

    [Fact]
    public void Create_SeveralParts_AreJoinedInOrder()
    {
        Assert.Equal("a=1 b c", KernelCommandLine.Create(false, "xterm", [" a=1 ", "", "b c"]));
    }

    [Fact]
    public void Create_TooLong_IsRefused()
    {
        Assert.Equal(2047, KernelCommandLine.Create(false, null, [new string('x', 2047)]).Length);
        Assert.Equal(ExitCode.Usage, Assert.Throws<UserException>(() => KernelCommandLine.Create(false, null, [new string('x', 2048)])).Code);
    }

    [Fact]
    public void Create_SeveralLines_AreRefused()
    {
        Assert.Equal(ExitCode.Usage, Assert.Throws<UserException>(() => KernelCommandLine.Create(false, null, ["a\nb"])).Code);
    }
}
