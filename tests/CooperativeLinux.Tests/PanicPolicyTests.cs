using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Tests;

public sealed class PanicPolicyTests
{
    private const string Panic = "Kernel panic - not syncing: test";

    [Theory]
    [InlineData("panic=1", true)]
    [InlineData("console=hvc0 panic=-1 quiet", true)]
    [InlineData("panic=0 panic=30", true)]
    [InlineData("\"panic=5\"", true)]
    [InlineData("", false)]
    [InlineData("panic=0", false)]
    [InlineData("panic=5 panic=0", false)]
    [InlineData("panic=", false)]
    [InlineData("panic=soon", false)]
    [InlineData("oops=panic hung_task_panic=1", false)]
    [InlineData("colinux.script=\"echo panic=1 ; true\"", false)]
    [InlineData("quiet -- panic=1", false)]
    public void AsksForRestart_Panic_FollowsTheCommandLine(string commandLine, bool expected)
    {
        DomainOutcome outcome = new(DomainOutcomeKind.Crash, Panic) { Panic = Panic };

        Assert.Equal(expected, PanicPolicy.AsksForRestart(commandLine, outcome));
    }

    [Fact]
    public void AsksForRestart_SettingMadeLater_ShowsInTheLastWords()
    {
        DomainOutcome outcome = new(DomainOutcomeKind.Crash, Panic)
        {
            Panic = Panic,
            LastConsoleLines = [$"[    3.0] {Panic}", "[    3.1] Rebooting in 10 seconds.."],
        };

        Assert.True(PanicPolicy.AsksForRestart("", outcome));
    }

    [Fact]
    public void AsksForRestart_CrashWithoutPanic_NeverRestarts()
    {
        DomainOutcome outcome = new(DomainOutcomeKind.Crash, "triple fault");

        Assert.False(PanicPolicy.AsksForRestart("panic=1", outcome));
    }
}
