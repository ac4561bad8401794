using CooperativeLinux.Configuration;

namespace CooperativeLinux.Cli.Tests;

public sealed class RunCommandTests
{
    [Fact]
    public async Task RunAsync_AllOptions_ReachTheMachine()
    {
        using TemporaryFile kernel = new();
        using TemporaryFile first = new();
        using TemporaryFile second = new();
        ConsoleRun run = new();

        ExitCode code = await run.RunAsync(
            "run", "--kernel", kernel.Path, "--initrd", first.Path, "-i", second.Path, "--memory", "1G", "--log", "guest.log",
            "--trace", "events,store", "--trace", "Timers", "--verify", "--disk", "a.img,ro", "-d", "b.img,name=xvdf", "--no-default-append", "--append", "root=/dev/xvda", "-a", "rw");

        Assert.Equal(ExitCode.Success, code);
        Assert.Equal("", run.Error.ToString());
        Assert.Equal(kernel.Path, run.Options!.KernelPath);
        Assert.Equal([first.Path, second.Path], run.Options.InitrdPaths);
        Assert.Equal(1L << 30, run.Options.MemoryBytes);
        Assert.Equal(Path.GetFullPath("guest.log"), run.Options.LogPath);
        Assert.Equal(TraceSubjects.Events | TraceSubjects.Store | TraceSubjects.Timers, run.Options.Trace);
        Assert.Equal("root=/dev/xvda rw", run.Options.CommandLine);
        Assert.True(run.Options.Processor.Verify);
        Assert.Equal(
            [
                new DiskOption { Path = Path.GetFullPath("a.img"), IsReadOnly = true },
                new DiskOption { Path = Path.GetFullPath("b.img"), Name = "xvdf" },
            ],
            run.Options.Disks);
    }

    [Fact]
    public async Task RunAsync_KernelFileAlone_HasDefaultsAndNoInitrd()
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new();

        await run.RunAsync("run", "-k", kernel.Path, "-a", "debug");

        Assert.Empty(run.Options!.InitrdPaths);
        Assert.Equal(512L << 20, run.Options.MemoryBytes);
        Assert.StartsWith("console=hvc0 quiet", run.Options.CommandLine, StringComparison.Ordinal);
        Assert.EndsWith(" debug", run.Options.CommandLine, StringComparison.Ordinal);
        Assert.Equal(TraceSubjects.None, run.Options.Trace);
        Assert.Null(run.Options.LogPath);
        Assert.False(run.Options.Processor.Verify);
    }

    [Theory]
    [InlineData((int)ExitCode.Usage, "'bogus'", "bogus")]
    [InlineData((int)ExitCode.Usage, "'--bogus'", "run", "--bogus")]
    [InlineData((int)ExitCode.Usage, "'@old.conf'", "run", "@old.conf")]
    [InlineData((int)ExitCode.Usage, "--memory", "run", "--memory")]
    [InlineData((int)ExitCode.Usage, "the least is 128M", "run", "--memory", "12M")]
    [InlineData((int)ExitCode.Usage, "such as 512M", "run", "--memory", "lots")]
    [InlineData((int)ExitCode.Usage, "'everything'", "run", "--trace", "everything")]
    [InlineData((int)ExitCode.Usage, "'7'", "fetch", "7")]
    [InlineData((int)ExitCode.Usage, "'foo'", "fetch", "--mirror", "foo")]
    [InlineData((int)ExitCode.Usage, "'Foo'", "image", "Foo")]
    [InlineData((int)ExitCode.Usage, "PACKAGE", "image")]
    [InlineData((int)ExitCode.BadImage, "/nonexistent/vmlinuz does not exist", "run", "--kernel", "/nonexistent/vmlinuz")]
    [InlineData((int)ExitCode.BadImage, "/ is a folder", "run", "--kernel", "/")]
    [InlineData((int)ExitCode.BadImage, "/nonexistent/initrd does not exist", "run", "--initrd", "/nonexistent/initrd")]
    public async Task RunAsync_BadInput_IsOneClearLine(int expected, string part, params string[] arguments)
    {
        ConsoleRun run = new();

        ExitCode code = await run.RunAsync(arguments);

        Assert.Equal(expected, (int)code);
        Assert.Null(run.Options);
        Assert.StartsWith("colinux: ", run.ErrorLines[0], StringComparison.Ordinal);
        Assert.Contains(part, run.ErrorLines[0], StringComparison.Ordinal);
        Assert.Equal(expected == (int)ExitCode.Usage ? ["Try '"] : (string[])[], run.ErrorLines.Skip(1).Select(line => line[..5]));
        Assert.Equal("", run.Output.ToString());
    }

    [Fact]
    public async Task RunAsync_EmptyKernel_IsABadImage()
    {
        using TemporaryFile kernel = new("");
        ConsoleRun run = new();

        Assert.Equal(ExitCode.BadImage, await run.RunAsync("run", "--kernel", kernel.Path));
        Assert.Contains("is empty", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(MachineEnd.PowerOff, (int)ExitCode.Success, "")]
    [InlineData(MachineEnd.Reboot, (int)ExitCode.Success, "")]
    [InlineData(MachineEnd.Panic, (int)ExitCode.GuestPanic, "colinux: the guest's kernel panicked: why\n")]
    [InlineData(MachineEnd.Crash, (int)ExitCode.GuestCrash, "colinux: the guest crashed: why\n")]
    public async Task RunAsync_EndOfTheMachine_BecomesTheExitCode(MachineEnd end, int expected, string message)
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new() { Machine = (_, _) => Task.FromResult(new MachineResult(end, "why")) };

        Assert.Equal(expected, (int)await run.RunAsync("run", "--kernel", kernel.Path));
        Assert.Equal(message, run.Error.ToString());
    }

    [Theory]
    [InlineData(MachineStartFailure.BadImage, (int)ExitCode.BadImage)]
    [InlineData(MachineStartFailure.Host, (int)ExitCode.Failed)]
    public async Task RunAsync_MachineDoesNotStart_IsOneLine(MachineStartFailure failure, int expected)
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new() { Machine = (_, _) => throw new MachineStartException(failure, "not\na kernel") };

        Assert.Equal(expected, (int)await run.RunAsync("run", "--kernel", kernel.Path));
        Assert.Equal("colinux: not a kernel\n", run.Error.ToString());
    }

    [Fact]
    public async Task RunAsync_FaultOfOurOwn_IsOneLineWithoutStackTrace()
    {
        using TemporaryFile kernel = new();
        ConsoleRun run = new() { Machine = (_, _) => throw new InvalidOperationException("broken") };

        Assert.Equal(ExitCode.InternalError, await run.RunAsync("run", "--kernel", kernel.Path));
        Assert.Contains("internal error: InvalidOperationException: broken", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task RunAsync_Cancelled_IsInterruptedAndQuiet()
    {
        using TemporaryFile kernel = new();
        using CancellationTokenSource cancellation = new();
        ConsoleRun run = new()
        {
            Machine = async (_, token) =>
            {
                await cancellation.CancelAsync();
                await Task.Delay(Timeout.Infinite, token);
                return new MachineResult(MachineEnd.PowerOff);
            },
        };

        Assert.Equal(ExitCode.Interrupted, await run.RunAsync(cancellation.Token, "run", "--kernel", kernel.Path));
        Assert.Equal("", run.Error.ToString());
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("run", "--help")]
    [InlineData("fetch", "--help")]
    [InlineData("image", "--help")]
    [InlineData("disk", "create", "--help")]
    [InlineData("disk", "info", "--help")]
    [InlineData("disk", "commit", "--help")]
    [InlineData("disk", "resize", "--help")]
    [InlineData("disk", "rebase", "--help")]
    [InlineData]
    public async Task RunAsync_Help_DescribesEveryOption(params string[] arguments)
    {
        ConsoleRun run = new();

        ExitCode code = await run.RunAsync(arguments);

        string[] options = [.. run.Output.ToString().Split('\n').Where(line => line.StartsWith("  -", StringComparison.Ordinal))];
        Assert.Equal(ExitCode.Success, code);
        Assert.NotEmpty(options);
        Assert.All(options, line => Assert.Matches(@"^  -.*\S {2,}\S", line));
    }
}
