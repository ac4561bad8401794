using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Ending from outside, and the terminal afterwards.</summary>
public sealed class SignalTests
{
    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    [InlineData("HUP", 129)]
    public void Signal_ToARunningGuest_EndsWithItsCode(string signal, int expected)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals");
        using Terminal terminal = new();
        (uint, uint, uint) before = terminal.Mode;
        using Colinux colinux = Colinux.StartOn(terminal, "run", "-k", "6.1-cloud", "-m", "256M");
        colinux.WaitFor(Colinux.Prompt);
        (uint, uint, uint) during = terminal.Mode;

        colinux.Signal(signal);

        // In order: the guest itself says that it ends.
        Assert.Equal(expected, colinux.WaitForExit(EndLimit));
        Assert.Contains("reboot: System halted", colinux.Output, StringComparison.Ordinal);
        Assert.NotEqual(before, during);
        Assert.Equal(before, terminal.Mode);
    }

    [Fact]
    public void Signal_WhileTheGuestComputes_EndsTheMachine()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals");
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M", "-a", "colinux.script=\"echo busy; while :; do :; done\"");
        colinux.WaitFor("busy");

        colinux.Signal("INT");

        Assert.Equal(130, colinux.WaitForExit(EndLimit));
        Assert.Empty(colinux.Errors);
    }

    [Theory]
    [InlineData("1", false)]
    [InlineData("600", true)]
    public void Signal_GuestThatDoesNotFollow_IsSwitchedOff(string limit, bool isSentTwice)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals");
        using Colinux colinux = Colinux.Start(
            "run", "-k", "6.1-cloud", "-m", "256M", "--stop-timeout", limit,
            "-a", "colinux.script=\"echo '#!/colinux/busybox true' > /usr/sbin/poweroff; echo ready; sleep 1000\"");
        colinux.WaitFor("ready\n");

        colinux.Signal("TERM");
        if (isSentTwice)
        {
            Thread.Sleep(1000);
            Assert.Empty(colinux.Errors);
            colinux.Signal("TERM");
        }

        Assert.Equal(143, colinux.WaitForExit(EndLimit));
        Assert.Equal(isSentTwice ? "" : "colinux: the guest did not shut down within 1 s and was switched off\n", colinux.Errors);
    }

    [Fact]
    public void Keys_OnATerminal_GoToTheGuestUpToTheEscapeKey()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "terminals of Linux");
        using Terminal terminal = new();
        terminal.SetSize(100, 30);
        (uint, uint, uint) before = terminal.Mode;
        using Colinux colinux = Colinux.StartOn(terminal, "run", "-k", "6.1-cloud", "-m", "256M");
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        // Ctrl-C ends the guest's program, not the machine.
        terminal.Type("echo go; sleep 1000\r"u8);
        (position, _) = colinux.WaitFor("go\n", position);
        Thread.Sleep(500);
        terminal.Type("\x03"u8);
        (position, _) = colinux.WaitFor(Colinux.Prompt, position);
        terminal.Type("echo 'caf\u00e9 \u65e5\u672c' $((40+2))\r"u8);
        (position, _) = colinux.WaitFor("\ncaf\u00e9 \u65e5\u672c 42\n", position);
        terminal.Type("\x1d?"u8);
        (position, _) = colinux.WaitFor("Ctrl-] q", position);
        terminal.Type("\x1dq"u8);

        Assert.Equal(0, colinux.WaitForExit(EndLimit));
        Assert.Equal(before, terminal.Mode);
    }

    [Fact]
    public void Panic_OnATerminal_LeavesItAsItWas()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "terminals of Linux");
        using Terminal terminal = new();
        (uint, uint, uint) before = terminal.Mode;
        using Colinux colinux = Colinux.StartOn(terminal, "run", "-k", "6.1-cloud", "-m", "256M", "-a", "rdinit=/nonexistent");

        Assert.Equal(4, colinux.WaitForExit());
        Assert.Equal(before, terminal.Mode);
    }
}
