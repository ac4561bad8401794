using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>How guests end: power off, restart, panic.</summary>
public sealed class EndTests
{
    private const int GuestPanic = 4;

    [Theory]
    [InlineData("6.1-cloud")]
    [InlineData("6.12-cloud")]
    public void Panic_BySysrq_IsShownAndReported(string flavour)
    {
        (int exitCode, string output, string errors) = Colinux.Run(
            "run", "-k", flavour, "-m", "256M", "-a", "colinux.script=\"sleep 0.5; echo c > /proc/sysrq-trigger\"");

        Assert.Equal(GuestPanic, exitCode);
        Assert.Equal("colinux: the guest's kernel panicked: Kernel panic - not syncing: sysrq triggered crash\n", errors);
        Assert.Contains("Kernel panic - not syncing: sysrq triggered crash", output, StringComparison.Ordinal);

        // The last words too: they come long after the ring was full.
        Assert.Contains("Call Trace:", output, StringComparison.Ordinal);
        Assert.Contains("</TASK>", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("rdinit=/nonexistent", "Unable to mount root fs")]
    [InlineData("rdinit=/colinux/bin/true", "Attempted to kill init! exitcode=0x00000000")]
    [InlineData("colinux.script=\"kill -SEGV 1; echo alive; echo 1 > /proc/sys/kernel/sysrq; echo b > /proc/nothing; echo c > /proc/sysrq-trigger\"", "sysrq triggered crash")]
    public void Panic_OfTheFirstProcess_IsReported(string append, string reason)
    {
        (int exitCode, _, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "-m", "256M", "-a", append);

        Assert.Equal(GuestPanic, exitCode);
        Assert.StartsWith("colinux: the guest's kernel panicked: Kernel panic - not syncing: ", errors, StringComparison.Ordinal);
        Assert.Contains(reason, errors, StringComparison.Ordinal);
        Assert.Equal(1, errors.Count(character => character == '\n'));
    }

    [Fact]
    public void FirstProcess_ShellEnds_PanicIsReported()
    {
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M", "-a", "rdinit=/bin/sh");
        colinux.WaitFor(Colinux.Prompt);

        colinux.Type("kill -9 1; echo still $((6*7))\n");
        colinux.WaitFor("still 42");
        colinux.Type("exit 3\n");

        Assert.Equal(GuestPanic, colinux.WaitForExit());
        Assert.Contains("Attempted to kill init! exitcode=0x00000300", colinux.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("poweroff -f")]
    [InlineData("halt -f")]
    [InlineData("echo o > /proc/sysrq-trigger")]
    public void PowerOff_Forced_EndsTheMachine(string command)
    {
        (int exitCode, string output, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "-m", "256M", "-a", $"colinux.script=\"{command}; sleep 1000\"");

        Assert.Equal(0, exitCode);
        Assert.Matches("reboot: (Power down|System halted)\n$", output);
        Assert.Empty(errors);
    }

    [Fact]
    public void Reboot_FromTheShell_StartsAgainInTheSameProcess()
    {
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M");
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        colinux.Type("echo x > /tmp/old; reboot -f\n");
        (position, _) = colinux.WaitFor("reboot: Restarting system", position);
        (position, _) = colinux.WaitFor(Colinux.Prompt, position);
        colinux.Type("cat /tmp/old; poweroff -f\n");

        Assert.Equal(0, colinux.WaitForExit());
        Assert.Contains("No such file", colinux.Output[position..], StringComparison.Ordinal);
        Assert.Empty(colinux.Errors);
    }

    [Theory]
    [InlineData("panic=-1", "")]
    [InlineData("quiet", "echo 1 > /proc/sys/kernel/panic; ")]
    public void Panic_WithRestartAskedFor_StartsAgain(string append, string command)
    {
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M", "-a", append);
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        colinux.Type("echo x > /tmp/old; " + command + "echo c > /proc/sysrq-trigger\n");
        (position, _) = colinux.WaitFor("Kernel panic - not syncing", position);
        (position, _) = colinux.WaitFor("about to get started", position);
        (position, _) = colinux.WaitFor(Colinux.Prompt, position);
        colinux.Type("cat /tmp/old; poweroff -f\n");

        Assert.Equal(0, colinux.WaitForExit());
        Assert.Contains("No such file", colinux.Output[position..], StringComparison.Ordinal);
        Assert.Equal(
            "colinux: the guest's kernel panicked and starts again: Kernel panic - not syncing: sysrq triggered crash\n", colinux.Errors);
    }
}
