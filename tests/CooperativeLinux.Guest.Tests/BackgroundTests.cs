using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Machines in the background: start, exec, attach, logs, ps and stop.</summary>
public sealed class BackgroundTests
{
    [Fact]
    public void Start_Machine_RunsCommandsIsAttachedToAndStops()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "machines with names are tested on Linux");
        using SmallMachine machine = new();

        Assert.Equal((0, "", ""), Colinux.Run("start", "small", "--verify"));

        // While it runs: output, errors and status of commands, with nothing of a shell between.
        Assert.Equal((7, "out $HOME 'it'\n", "error\n"), Colinux.Run("exec", "small", "--", "sh", "-c", "echo \"$1\"; echo error >&2; exit 7", "sh", "out $HOME 'it'"));
        Assert.Equal(127, Colinux.Run("exec", "small", "no-such-program").ExitCode);
        Assert.Equal((0, "6000000\n", ""), Colinux.Run("exec", "small", "--", "sh", "-c", "head -c 6000000 /dev/zero | tee /dev/stderr 2>/dev/null | wc -c"));
        (int exitCode, string output, _) = Colinux.Run("exec", "small", "--", "head", "-c", "3000000", "/dev/zero");
        Assert.Equal((0, 3_000_000, true), (exitCode, output.Length, output.All(c => c == '\0')));
        Assert.Contains("small  running, process ", Colinux.Run("ps").Output, StringComparison.Ordinal);
        Assert.Contains("is running", Colinux.Run("start", "small").Errors, StringComparison.Ordinal);
        Assert.Contains("is running", Colinux.Run("rm", "small").Errors, StringComparison.Ordinal);

        // What it has is for its owner alone.
        Assert.All(
            (string[])["control", "console.log"],
            name => Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, new FileInfo(Path.Combine(machine.Folder, name)).UnixFileMode));

        Attach_Types_Detaches();
        Exec_Interrupted_IsKilled();

        Assert.Equal((0, "", ""), Colinux.Run("stop", "small"));
        Assert.Contains("small  off", Colinux.Run("ps").Output, StringComparison.Ordinal);
        string log = Colinux.Run("logs", "small", "--follow").Output;
        Assert.Contains("typed here", log, StringComparison.Ordinal);
        Assert.DoesNotContain("has no 9p", log, StringComparison.Ordinal);
        (exitCode, _, string errors) = Colinux.Run("exec", "small", "true");
        Assert.Equal((1, "colinux: the machine small is not running; 'colinux start small' starts it\n"), (exitCode, errors));
        Assert.False(File.Exists(Path.Combine(machine.Folder, "control")));
    }

    [Fact]
    public void Start_WhatCannotStart_SaysWhy()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "machines with names are tested on Linux");
        using SmallMachine machine = new("kernel=/no/such/kernel\ndisk=disk.img\n");

        Assert.Equal((3, "", "colinux: the kernel /no/such/kernel does not exist\n"), Colinux.Run("start", "small"));
        Assert.Contains("off", Colinux.Run("ps").Output, StringComparison.Ordinal);
    }

    private static void Attach_Types_Detaches()
    {
        using Terminal terminal = new();
        using Colinux attached = Colinux.StartOn(terminal, "attach", "small");
        (int position, _) = attached.WaitFor("Ctrl-] d leaves the machine");
        (position, _) = attached.WaitFor(Colinux.Prompt, position);
        terminal.Type("echo typed he\"r\"e\r"u8);
        (position, _) = attached.WaitFor("typed here\n", position);
        terminal.Type([0x1d, (byte)'d']);
        Assert.Equal(0, attached.WaitForExit());
        Assert.Contains("goes on", attached.Errors, StringComparison.Ordinal);
    }

    private static void Exec_Interrupted_IsKilled()
    {
        using (Colinux sleep = Colinux.Start("exec", "small", "--", "sh", "-c", "echo begun; sleep 1000"))
        {
            sleep.WaitFor("begun");
            sleep.Signal("TERM");
            Assert.Equal(143, sleep.WaitForExit());
        }

        Assert.Equal("0\n", Colinux.Run("exec", "small", "--", "sh", "-c", "ps | grep -c '[s]leep 1000'").Output);
    }
}
