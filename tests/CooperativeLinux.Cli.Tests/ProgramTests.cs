using System.Diagnostics;

namespace CooperativeLinux.Cli.Tests;

/// <summary>Tests of the program as it is installed, in a process of its own.</summary>
public sealed class ProgramTests
{
    [Fact]
    public async Task Main_UnknownCommand_ExitsWithTwo()
    {
        using Process process = Start("bogus");
        string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(2, process.ExitCode);
        Assert.StartsWith("colinux: unknown command 'bogus'", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("TERM", 143)]
    [InlineData("INT", 130)]
    [InlineData("HUP", 129)]
    public async Task Main_Signal_EndsOrderlyWithItsCode(string signal, int expected)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "signals of Unix");

        // A cache that another process holds keeps the command waiting for as long as the test needs.
        string cache = Directory.CreateTempSubdirectory("colinux-test-").FullName;
        try
        {
            Directory.CreateDirectory(Path.Combine(cache, "colinux"));
            using FileStream held = new(Path.Combine(cache, "colinux", "lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None);
            using Process process = Start("fetch", ("XDG_CACHE_HOME", cache));
            await WaitForSignalHandlerAsync(process);
            using Process kill = Process.Start("kill", ["-" + signal, process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);

            Assert.Equal(expected, process.ExitCode);
            Assert.Equal("", await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
        }
        finally
        {
            Directory.Delete(cache, recursive: true);
        }
    }

    private static async Task WaitForSignalHandlerAsync(Process process)
    {
        // SIGHUP is the last one the program takes over: bit 0 of the caught signals in proc(5).
        while (true)
        {
            string? caught = File.ReadLines($"/proc/{process.Id}/status").FirstOrDefault(line => line.StartsWith("SigCgt:", StringComparison.Ordinal));
            if (caught is not null && (Convert.ToUInt64(caught[7..].Trim(), 16) & 1) != 0)
            {
                return;
            }

            await Task.Delay(10, TestContext.Current.CancellationToken);
        }
    }

    private static Process Start(string argument, params (string Name, string Value)[] environment)
    {
        string program = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "colinux.exe" : "colinux");

        // Under nohup or behind a shell's ampersand the program would ignore signals too.
        ProcessStartInfo start = OperatingSystem.IsWindows() ? new(program, [argument]) : new("env", ["--default-signal", program, argument]);
        start.RedirectStandardError = start.RedirectStandardOutput = true;
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }
}
