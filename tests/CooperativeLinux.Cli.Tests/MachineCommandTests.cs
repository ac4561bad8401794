using CooperativeLinux.Guests.Machines;

namespace CooperativeLinux.Cli.Tests;

/// <summary>Machines with names. They live where an environment variable says, so these tests run one after the other.</summary>
[Collection(nameof(MachineCommandTests))]
public sealed class MachineCommandTests : IDisposable
{
    private const string Variable = "XDG_DATA_HOME";

    private readonly string? _before = Environment.GetEnvironmentVariable(Variable);
    private readonly string _data = Directory.CreateTempSubdirectory("colinux-machines-").FullName;

    public MachineCommandTests() => Environment.SetEnvironmentVariable(Variable, _data);

    public void Dispose()
    {
        Environment.SetEnvironmentVariable(Variable, _before);
        Directory.Delete(_data, recursive: true);
    }

    [Fact]
    public async Task Run_Name_TakesTheOptionsOfItsConfiguration()
    {
        MachineFolder machine = Make("deb", "# a comment\n\nkernel=disk\n disk = disk.img,ro \ndisk=/dev/sdz,overlay=more.img\nmemory=256M..1G\nappend=quiet splash\nno-default-append\n");
        ConsoleRun run = new();

        Assert.Equal(ExitCode.Success, await run.RunAsync("run", "deb"));

        Assert.Equal("", run.Error.ToString());
        Assert.Null(run.Options!.KernelPath);
        Assert.Equal([(machine.DiskPath, null, true), ("/dev/sdz", Path.Combine(machine.Path, "more.img"), false)], run.Options.Disks.Select(disk => (disk.Path, disk.OverlayPath, disk.IsReadOnly)));
        Assert.Equal((1L << 30, 256L << 20), (run.Options.MemoryBytes, run.Options.LeastMemoryBytes));
        Assert.Equal("root=/dev/xvda ro quiet splash", run.Options.CommandLine);
    }

    [Fact]
    public async Task Run_NameAndOptions_OptionsHavePrecedence()
    {
        MachineFolder machine = Make("deb", "kernel=disk\ndisk=disk.img\nmemory=1G\nappend=a\n");
        ConsoleRun run = new();

        Assert.Equal(ExitCode.Success, await run.RunAsync("run", "-m", "2G", "deb", "--append", "single", "--disk", "/tmp/other.img,name=xvdc"));

        Assert.Equal(2L << 30, run.Options!.MemoryBytes);
        Assert.Equal([machine.DiskPath, "/tmp/other.img"], run.Options.Disks.Select(disk => disk.Path));
        Assert.EndsWith(" root=/dev/xvda ro a single", run.Options.CommandLine, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_NameInAFolderWithComma_FindsTheDisk()
    {
        Environment.SetEnvironmentVariable(Variable, Path.Combine(_data, "a,b"));
        MachineFolder machine = Make("deb", "kernel=disk\ndisk=disk.img\n");
        ConsoleRun run = new();

        Assert.Equal(ExitCode.Success, await run.RunAsync("run", "deb"));

        Assert.Equal(machine.DiskPath, Assert.Single(run.Options!.Disks).Path);
    }

    [Theory]
    [InlineData("kernel=disk\ncolour=red\n", "machine.conf, line 2: 'colour'")]
    [InlineData("kernel=disk\nmemory=lots\n", "--memory lots")]
    public async Task Run_BadConfiguration_NamesFileAndLine(string text, string part)
    {
        Make("deb", text);
        ConsoleRun run = new();

        Assert.Equal(ExitCode.Usage, await run.RunAsync("run", "deb"));

        Assert.Contains("machine.conf", run.ErrorLines[0], StringComparison.Ordinal);
        Assert.Contains(part, run.ErrorLines[0], StringComparison.Ordinal);
        Assert.Null(run.Options);
    }

    [Theory]
    [InlineData((int)ExitCode.Failed, "no machine 'nobody'", "run", "nobody")]
    [InlineData((int)ExitCode.Failed, "no machine '../deb'", "run", "../deb")]
    [InlineData((int)ExitCode.Failed, "no machine 'nobody'", "rm", "deb", "nobody")]
    [InlineData((int)ExitCode.Failed, "already", "create", "deb")]
    [InlineData((int)ExitCode.Usage, "'a/b'", "create", "a/b")]
    [InlineData((int)ExitCode.Usage, "bookworm or trixie", "create", "x", "--release", "woody")]
    [InlineData((int)ExitCode.Usage, "'No!'", "create", "x", "--packages", "git,No!")]
    [InlineData((int)ExitCode.Usage, "at least 2G", "create", "x", "--size", "1G")]
    [InlineData((int)ExitCode.Usage, "--disk", "run", "--kernel", "disk")]
    [InlineData((int)ExitCode.Usage, "--stop-timeout", "run", "--stop-timeout", "-1")]
    [InlineData((int)ExitCode.Usage, "smaller size comes first", "run", "--memory", "2G..1G")]
    public async Task RunAsync_BadInput_IsOneClearLine(int expected, string part, params string[] arguments)
    {
        MachineFolder machine = Make("deb", "kernel=disk\ndisk=disk.img\n");
        ConsoleRun run = new();

        Assert.Equal(expected, (int)await run.RunAsync(arguments));

        Assert.StartsWith("colinux: ", run.ErrorLines[0], StringComparison.Ordinal);
        Assert.Contains(part, run.ErrorLines[0], StringComparison.Ordinal);
        Assert.True(machine.Exists);
    }

    [Fact]
    public async Task List_AndRemove_ShowAndDeleteMachines()
    {
        Make("one", "");
        MachineFolder two = Make("two", "");
        Directory.CreateDirectory(Path.Combine(_data, "colinux", "machines", ".new-three-1"));
        ConsoleRun list = new();
        ConsoleRun after = new();

        await list.RunAsync("ps");
        Assert.Equal(ExitCode.Success, await new ConsoleRun().RunAsync("rm", "one"));
        await after.RunAsync("ps");

        Assert.Equal(["one  off", "two  off"], list.Output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line[..8]));
        Assert.StartsWith("two  off", Assert.Single(after.Output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
        Assert.Equal([".new-three-1", "two"], Directory.EnumerateDirectories(Path.GetDirectoryName(two.Path)!).Select(Path.GetFileName).Order());
    }

    private static MachineFolder Make(string name, string configuration)
    {
        MachineFolder machine = MachineStore.ForUser().Get(name);
        Directory.CreateDirectory(machine.Path);
        File.WriteAllText(machine.ConfigurationPath, configuration);
        File.WriteAllBytes(machine.DiskPath, new byte[4096]);
        return machine;
    }
}
