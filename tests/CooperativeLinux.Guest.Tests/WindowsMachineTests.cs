using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Machines in the background, and what is done to a running guest, with the Windows build under Wine; see tests/windows.</summary>
[Trait("Host", "Windows")]
public sealed class WindowsMachineTests
{
    private const string Reason = "run by tests/windows boot, with e2fsprogs";
    private const int Failed = 1, Interrupted = 130;

    public static bool IsWanted => Colinux.WindowsPath is not null && SystemDisk.IsPossible;

    [Fact(SkipUnless = nameof(IsWanted), Skip = Reason)]
    public async Task Start_MachineOfALinuxHost_RunsCommandsIsAttachedToAndStops()
    {
        // As it comes from 'colinux create': everything the guest is made of is on the disk.
        using SmallMachine machine = new("kernel=disk\ndisk=disk.img\nmemory=256M\n", isOnWindows: true);
        await SystemDisk.CreateAsync(Path.Combine(machine.Folder, "disk.img"), KernelFlavour.Cloud61, TestContext.Current.CancellationToken);

        // What reads the output of 'start' is not kept waiting by the machine.
        using (Colinux start = Colinux.StartWindows("start", SmallMachine.Name, "--verify"))
        {
            Assert.Equal(0, start.WaitForExit());
            Assert.Equal(("", "", true), (start.Output, start.Errors, start.HasOutputEnded));
        }

        Assert.Equal((7, "out $HOME 'it' \"ü\"\n", "error\n"), Execute("sh", "-c", "echo \"$1\"; echo error >&2; exit 7", "sh", "out $HOME 'it' \"ü\""));
        (int exitCode, string output, _) = Execute("head", "-c", "3000000", "/dev/zero");
        Assert.Equal((0, 3_000_000, true), (exitCode, output.Length, output.All(c => c == '\0')));
        Assert.Contains("small  running, process ", Colinux.RunWindows("ps").Output, StringComparison.Ordinal);
        AssertFails("is running", "start", SmallMachine.Name);
        AssertFails("is running", "rm", SmallMachine.Name);

        // Ctrl-C at a command kills it.
        using (Colinux sleep = Colinux.StartWindows("exec", SmallMachine.Name, "--", "sh", "-c", "echo begun; sleep 1000"))
        {
            sleep.WaitFor("begun");
            sleep.Signal("INT");
            Assert.Equal(Interrupted, sleep.WaitForExit());
        }

        Assert.Equal("0\n", Execute("sh", "-c", "ps | grep -c '[s]leep 1000'").Output);

        using Colinux attached = Colinux.StartWindows("attach", SmallMachine.Name);
        (int position, _) = attached.WaitFor(Colinux.Prompt);
        attached.Type("echo typed he\"r\"e\n");
        attached.WaitFor("typed here\n", position);

        Assert.Equal((0, "", ""), Colinux.RunWindows("stop", SmallMachine.Name));
        Assert.Equal(0, attached.WaitForExit());
        Assert.EndsWith("the machine small has ended\r\n", attached.Errors, StringComparison.Ordinal);
        Assert.Contains("small  off", Colinux.RunWindows("ps").Output, StringComparison.Ordinal);
        string log = Colinux.RunWindows("logs", SmallMachine.Name, "--follow").Output;
        Assert.Contains("typed here", log, StringComparison.Ordinal);
        Assert.Contains("reboot: System halted", log, StringComparison.Ordinal);
        AssertFails("is not running; 'colinux start small' starts it", "exec", SmallMachine.Name, "true");
        Assert.Equal((0, "", ""), Colinux.RunWindows("rm", SmallMachine.Name));
        Assert.False(Directory.Exists(machine.Folder));
    }

    [Fact(SkipUnless = nameof(IsWanted), Skip = Reason)]
    public async Task Run_ElasticAndInterrupted_GivesMemoryBackAndShutsDown()
    {
        // The range is the last word for memory.
        string[] boot = await WindowsHostTests.BootAsync("6.1-cloud");
        using Colinux colinux = Colinux.StartWindows([.. boot[..^1], "128M..512M"]);
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        // The balloon takes what the removed file took, for a moment.
        colinux.Type("""
            total() { awk '/MemTotal/{print int($2/1024)}' /proc/meminfo; }; all=$(total)
            dd if=/dev/zero of=/tmp/file bs=1M count=200 2>/dev/null; rm /tmp/file; while [ $(total) -gt $((all - 100)) ]; do sleep 0.1; done; echo smal"l"er
            while [ $(total) -lt $all ]; do sleep 0.1; done; echo as bef"o"re

            """.ReplaceLineEndings("\n"));
        (position, _) = colinux.WaitFor("smaller", position);
        (position, _) = colinux.WaitFor("as before", position);

        // Ctrl-C, where no console takes it as a character.
        colinux.Signal("INT");
        colinux.WaitFor("reboot: System halted", position);
        Assert.Equal(Interrupted, colinux.WaitForExit());
        Assert.Empty(colinux.Errors);
    }

    private static (int ExitCode, string Output, string Errors) Execute(params string[] command) =>
        Colinux.RunWindows(["exec", SmallMachine.Name, "--", .. command]);

    private static void AssertFails(string reason, params string[] arguments)
    {
        (int exitCode, _, string errors) = Colinux.RunWindows(arguments);
        Assert.Equal(Failed, exitCode);
        Assert.Matches(@"\Acolinux: [^\n]*\n\z", errors);
        Assert.Contains(reason, errors, StringComparison.Ordinal);
    }
}
