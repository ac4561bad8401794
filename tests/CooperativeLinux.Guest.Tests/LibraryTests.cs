using System.Text;
using CooperativeLinux.Commands;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guest.Tests.Samples;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Guest.Tests;

/// <summary>The library as a program uses it that embeds a guest (docs/library.md).</summary>
public sealed class LibraryTests
{
    [Fact]
    public async Task Sample_OfTheDocuments_Runs()
    {
        StringWriter output = new();
        await EmbeddedGuest.RunAsync(output, TestContext.Current.CancellationToken);

        string[] lines = output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        Assert.Equal(["Linux", "status 3, errors: lost", "the machine has ended: PowerOff"], lines);
    }

    [Fact]
    public void Sample_OfTheDocuments_IsTheOneThatIsTested()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "reads the sources");
        string root = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../../../.."));
        string code = File.ReadAllText(Path.Combine(root, "tests/CooperativeLinux.Guest.Tests/Samples/EmbeddedGuest.cs"));
        string text = File.ReadAllText(Path.Combine(root, "docs/library.md"));

        // The document has the body without its indentation.
        string[] body = [.. code[(code.IndexOf("// <sample>", StringComparison.Ordinal) + 11)..code.IndexOf("// </sample>", StringComparison.Ordinal)]
            .Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0)];
        string flat = string.Join('\n', text.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0));
        Assert.Contains(string.Join('\n', body), flat, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Machine_ConsoleCommandsRestartAndEnd_Work()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        await using Machine machine = await Machine.StartAsync(await OptionsAsync(cancellationToken), cancellationToken);
        Assert.False(machine.Completion.IsCompleted);

        // The console is a stream: what is typed is done.
        await using (Stream console = machine.Console.Open())
        {
            await ReadUntilAsync(console, "# ", cancellationToken);
            await console.WriteAsync("echo $((6 * 7))-answer\r"u8.ToArray(), cancellationToken);
            await ReadUntilAsync(console, "42-answer", cancellationToken);
        }

        // Commands, also several at once, with folder and environment.
        CommandResult[] results = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => machine.RunAsync(
            new GuestCommand("sh", "-c", "pwd; echo $NUMBER") { Folder = "/tmp", Environment = new Dictionary<string, string> { ["NUMBER"] = $"no. {i}" } },
            cancellationToken)));
        Assert.Equal(["/tmp\nno. 0\n", "/tmp\nno. 1\n", "/tmp\nno. 2\n"], results.Select(result => result.Output));

        // A cancelled command is killed, and the next one is done.
        using (CancellationTokenSource cancellation = new(TimeSpan.FromSeconds(1)))
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => machine.RunAsync(new GuestCommand("sleep", "1000"), cancellation.Token));
        }

        Assert.Equal("0\n", (await machine.RunAsync("sh", "-c", "ps | grep -c '[s]leep 1000'")).Output);

        // The guest restarts, and takes commands again.
        await machine.RunAsync("touch", "/tmp/kept");
        await machine.Console.SendAsync("reboot -f\r"u8.ToArray(), cancellationToken);
        CommandResult after;
        do
        {
            after = await RunOrRestartAsync(machine, cancellationToken);
        }
        while (after.ExitCode == 0);

        Assert.Equal(MachineEnd.PowerOff, (await machine.ShutDownAsync(cancellationToken)).End);
        await Assert.ThrowsAsync<IOException>(() => machine.RunAsync("true"));
    }

    [Fact]
    public async Task Machine_Disposed_IsOff()
    {
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        Machine machine = await Machine.StartAsync(await OptionsAsync(cancellationToken), cancellationToken);
        Stream console = machine.Console.Open();
        await machine.DisposeAsync();

        Assert.Equal(MachineEnd.PowerOff, (await machine.Completion).End);
        using StreamReader reader = new(console);
        await reader.ReadToEndAsync(cancellationToken);
    }

    [Fact]
    public async Task Start_KernelThatIsNone_Throws()
    {
        string file = Path.GetTempFileName();
        try
        {
            MachineStartException error = await Assert.ThrowsAsync<MachineStartException>(
                () => Machine.StartAsync(new MachineOptions { KernelPath = file }, TestContext.Current.CancellationToken));
            Assert.Equal(MachineStartFailure.BadImage, error.Failure);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static async Task<CommandResult> RunOrRestartAsync(Machine machine, CancellationToken cancellationToken)
    {
        try
        {
            return await machine.RunAsync(new GuestCommand("test", "-e", "/tmp/kept"), cancellationToken);
        }
        catch (IOException)
        {
            // It was restarting.
            return new CommandResult(0, "", "");
        }
    }

    private static async Task<MachineOptions> OptionsAsync(CancellationToken cancellationToken)
    {
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(KernelFlavour.Generic61, cancellationToken: cancellationToken);
        return new MachineOptions
        {
            KernelPath = kernel.VmlinuzPath,
            InitrdPaths = await new DefaultGuest(cache).GetInitrdsAsync(kernel, cancellationToken: cancellationToken),
            CommandLine = "console=hvc0 quiet",
            Processor = new ProcessorOptions { Verify = true },
        };
    }

    private static async Task ReadUntilAsync(Stream console, string text, CancellationToken cancellationToken)
    {
        StringBuilder seen = new();
        byte[] buffer = new byte[4096];
        while (!seen.ToString().Contains(text, StringComparison.Ordinal))
        {
            int length = await console.ReadAsync(buffer, cancellationToken).AsTask().WaitAsync(Colinux.Patience, cancellationToken);
            Assert.True(length > 0, $"ended without '{text}': {seen}");
            seen.Append(Encoding.UTF8.GetString(buffer, 0, length));
        }
    }
}
