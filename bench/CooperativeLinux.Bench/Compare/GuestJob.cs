using System.Diagnostics;
using System.Globalization;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;

namespace CooperativeLinux.Bench.Compare;

/// <summary>Runs scripts in guests and takes their output apart.</summary>
/// <param name="peer">The kind of guest; its program is there.</param>
/// <param name="kernel">vmlinuz.</param>
/// <param name="baseArchive">The default guest's initramfs.</param>
/// <param name="workloads">The programs.</param>
/// <param name="folder">For the archives.</param>
/// <param name="options">Memory and time limit.</param>
internal sealed class GuestJob(Peer peer, string kernel, string baseArchive, Workloads workloads, string folder, CompareOptions options)
{
    private const string ProgramFolder = "colinux/bench";

    /// <summary>The suite with its options.</summary>
    public async Task<SuiteResult> RunSuiteAsync(string arguments)
    {
        ConsoleRun run = await RunAsync($"exec /{ProgramFolder}/suite {arguments}").ConfigureAwait(false);
        return SuiteResult.Parse(run.Lines);
    }

    /// <summary>Seconds from the start of the program to the guest's first script, and to the end of a guest that does nothing.</summary>
    public async Task<(double Begin, double End)> BootAsync()
    {
        ConsoleRun run = await RunAsync("exit 0").ConfigureAwait(false);
        return (run.Lines.First(line => line.Text == GuestScript.BeginLine).Time.TotalSeconds, run.Duration.TotalSeconds);
    }

    /// <summary>What a guest that sleeps uses of the host.</summary>
    /// <returns>Processor time in per cent of one processor, the host's memory in MiB, and what the guest counts as used of its own.</returns>
    public async Task<(double ProcessorPercent, double HostMiB, double GuestMiB)> IdleAsync(int seconds)
    {
        const string Asleep = "asleep";
        Task<(ProcessUse Before, ProcessUse After)>? watch = null;
        ConsoleRun run = await RunAsync(
            $"while read -r name value unit; do case $name in MemTotal:|MemFree:) echo $name $value;; esac; done < /proc/meminfo\necho {Asleep}\nsleep {seconds + 2}",
            (process, line) =>
            {
                if (line.Text == Asleep)
                {
                    watch = Task.Run(() => WatchAsync(process.Id, seconds));
                }
            }).ConfigureAwait(false);
        if (watch == null)
        {
            throw new BenchException($"{peer.Title}: the guest did not fall asleep\n{run.Tail()}");
        }

        (ProcessUse before, ProcessUse after) = await watch.ConfigureAwait(false);
        double percent = (after.ProcessorSeconds - before.ProcessorSeconds) / seconds * 100;
        return (percent, after.MemoryMiB, (Field("MemTotal: ") - Field("MemFree: ")) / 1024);

        double Field(string name) => double.Parse(
            run.Lines.First(line => line.Text.StartsWith(name, StringComparison.Ordinal)).Text[name.Length..], CultureInfo.InvariantCulture);
    }

    private static async Task<(ProcessUse Before, ProcessUse After)> WatchAsync(int process, int seconds)
    {
        await Task.Delay(1000).ConfigureAwait(false);
        ProcessUse before = ProcessUse.Measure(process);
        await Task.Delay(seconds * 1000).ConfigureAwait(false);
        return (before, ProcessUse.Measure(process));
    }

    private async Task<ConsoleRun> RunAsync(string script, Action<Process, ConsoleLine>? onLine = null)
    {
        string initrd = Path.Combine(folder, "initrd.cpio");
        FileTree files = new();
        foreach (string file in workloads.Files)
        {
            files.AddFile($"{ProgramFolder}/{file}", Path.Combine(workloads.Folder, file), 0b111_101_101);
        }

        string added = Path.Combine(folder, "script.cpio");
        await GuestScript.WriteAsync(added, script, files).ConfigureAwait(false);
        await using (FileStream output = File.Create(initrd))
        {
            foreach (string part in (string[])[baseArchive, added])
            {
                await using FileStream input = File.OpenRead(part);
                await input.CopyToAsync(output).ConfigureAwait(false);
            }
        }

        IReadOnlyList<string> command = [peer.Program!, .. peer.Command(new GuestStart(kernel, initrd, options.Memory))];
        ConsoleRun run = await ConsoleRun.RunAsync(command, TimeSpan.FromSeconds(options.TimeoutSeconds), onLine).ConfigureAwait(false);
        string console = string.Join('\n', run.Lines.Select(line => line.Text)) + "\n";
        if (run.TimedOut)
        {
            throw new BenchException($"{peer.Title}: not done after {options.TimeoutSeconds} s\n{run.Tail()}");
        }

        (string Output, int ExitStatus)? result = GuestScript.Parse(console);
        return result is (_, 0) ? run : throw new BenchException($"{peer.Title}: the guest failed (exit code {run.ExitCode})\n{run.Tail()}");
    }
}
