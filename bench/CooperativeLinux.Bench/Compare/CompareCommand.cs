using System.Globalization;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Bench.Compare;

/// <summary><c>compare</c>: the same programs on the host and in guests, in one run.</summary>
internal sealed class CompareCommand(CompareOptions options, TextWriter output, TextWriter progress)
{
    private static readonly string[] s_suiteGroups = ["integer", "float", "vector", "string", "system", "switch", "memory", "process", "program", "file"];

    private bool _failed;

    /// <returns>The exit code: 1 if a guest failed or gave a wrong result.</returns>
    public async Task<int> RunAsync()
    {
        string? unknown = options.Names.FirstOrDefault(name => !s_suiteGroups.Append("boot").Append("idle").Any(group => CompareOptions.Matches(name, group)));
        if (unknown != null)
        {
            throw new UsageException($"nothing is called {unknown}");
        }

        if (!OperatingSystem.IsLinux())
        {
            throw new BenchException("the comparison needs a Linux host: the programs run on it too");
        }

        string folder = Directory.CreateTempSubdirectory("colinux-bench-").FullName;
        try
        {
            return await RunInAsync(folder).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task<int> RunInAsync(string folder)
    {
        progress.WriteLine("compiling the programs");
        Workloads workloads = await Workloads.BuildAsync(options.Workloads, Directory.CreateDirectory(Path.Combine(folder, "programs")).FullName).ConfigureAwait(false);
        if (!workloads.HasLua)
        {
            progress.WriteLine("program.lua and process.dynamic-exec are left out: Lua is not installed (Debian: lua5.4)");
        }

        GuestCache cache = GuestCache.ForUser();
        using GuestProgressLine? line = GuestProgressLine.ForStandardError();
        Kernel kernel = await new KernelStore(cache).GetAsync(options.Kernel, line).ConfigureAwait(false);
        string baseArchive = await new DefaultGuest(cache).GetBaseAsync(line).ConfigureAwait(false);
        line?.Dispose();

        List<PeerResult> results = [];
        foreach (Peer peer in Peer.All(options).Where(peer => options.Only.Count == 0 || options.Only.Contains(peer.Name)))
        {
            if (peer.Program == null)
            {
                progress.WriteLine($"{peer.Title} is left out: not installed ({peer.Package})");
                continue;
            }

            results.Add(new PeerResult(peer, await VersionAsync(peer).ConfigureAwait(false)));
        }

        List<(PeerResult Result, GuestJob Job)> jobs =
            [.. results.Select(result => (result, new GuestJob(result.Peer, kernel.VmlinuzPath, baseArchive, workloads, folder, options)))];
        foreach ((PeerResult result, GuestJob job) in jobs)
        {
            await MeasureMachineAsync(result, job).ConfigureAwait(false);
        }

        (SuiteResult? before, SuiteResult? after) = WantsSuite ? await MeasureProgramsAsync(workloads, jobs).ConfigureAwait(false) : (null, null);
        Report report = new(before, after, results);
        string description = Describe(kernel, workloads, results);
        output.WriteLine(description);
        output.WriteLine();
        output.WriteLine(report.Summary());
        if (before != null)
        {
            output.WriteLine(report.Details());
        }

        foreach (string doubt in report.Doubts())
        {
            output.WriteLine(doubt);
        }

        foreach (string problem in report.Problems())
        {
            _failed = true;
            output.WriteLine(problem);
        }

        if (options.MarkdownPath != null)
        {
            await File.WriteAllTextAsync(options.MarkdownPath, Markdown(report, description, before != null)).ConfigureAwait(false);
        }

        return _failed ? 1 : 0;
    }

    private static string Markdown(Report report, string description, bool hasDetails)
    {
        string list = string.Join('\n', description.Split('\n').Select(line => "- " + line.TrimEnd()));
        return $"{list}\n\n{report.Summary().ToMarkdown()}" + (hasDetails ? $"\n{report.Details().ToMarkdown()}" : "");
    }

    private async Task<string> VersionAsync(Peer peer)
    {
        if (peer.VersionArguments.Count == 0)
        {
            return "this version";
        }

        ConsoleRun run = await ConsoleRun.RunAsync([peer.Program!, .. peer.VersionArguments], TimeSpan.FromSeconds(20)).ConfigureAwait(false);
        return run.Lines.Count > 0 ? run.Lines[0].Text : "unknown version";
    }

    private string Describe(Kernel kernel, Workloads workloads, IEnumerable<PeerResult> results)
    {
        string guests = string.Join("; ", results.Select(result => $"{result.Peer.Title}: {result.Version}"));
        return string.Create(CultureInfo.InvariantCulture, $"""
            {DateTime.Now:yyyy-MM-dd}, made by: bench/run {options.Reproduce}
            {HostDescription.Create()}
            guests: {options.Memory} MiB, Debian kernel {kernel.Release}; {guests}
            programs: {workloads.Compiler}, static; each line the fastest of {options.Rounds} rounds of {options.Repetitions} times {options.Seconds} s, on one processor
            """);
    }

    private string SuiteArguments => string.Create(CultureInfo.InvariantCulture,
        $"-t {options.Seconds} -r {options.Repetitions} {string.Join(' ', options.SuiteNames)}");

    private bool WantsSuite => s_suiteGroups.Any(options.WantsGroup);

    private async Task MeasureMachineAsync(PeerResult result, GuestJob job)
    {
        string title = result.Peer.Title;
        if (options.WantsGroup("boot"))
        {
            await TryAsync($"{title}: boot", async () =>
            {
                for (int i = 0; i < options.Boots; i++)
                {
                    (double begin, double end) = await job.BootAsync().ConfigureAwait(false);
                    result.Boot = Math.Min(result.Boot ?? double.MaxValue, begin);
                    result.BootAndEnd = Math.Min(result.BootAndEnd ?? double.MaxValue, end);
                }
            }).ConfigureAwait(false);
        }

        if (options.WantsGroup("idle"))
        {
            await TryAsync($"{title}: idle", async () => result.Idle = await job.IdleAsync(options.IdleSeconds).ConfigureAwait(false)).ConfigureAwait(false);
        }
    }

    /// <summary>The programs, in turn on the host and in the guests: what else the machine does then changes over all of them.</summary>
    /// <returns>The host's fastest times, and those after all others.</returns>
    private async Task<(SuiteResult Before, SuiteResult After)> MeasureProgramsAsync(Workloads workloads, List<(PeerResult Result, GuestJob Job)> jobs)
    {
        SuiteResult? before = null;
        for (int round = 1; round <= options.Rounds; round++)
        {
            before = (await NativeAsync(workloads, $"round {round}: native").ConfigureAwait(false)).FastestWith(before);
            foreach ((PeerResult result, GuestJob job) in jobs)
            {
                await TryAsync($"round {round}: {result.Peer.Title}", async () =>
                    result.Suite = (await job.RunSuiteAsync(SuiteArguments).ConfigureAwait(false)).FastestWith(result.Suite)).ConfigureAwait(false);
            }
        }

        return (before!, await NativeAsync(workloads, "native, again").ConfigureAwait(false));
    }

    private async Task<SuiteResult> NativeAsync(Workloads workloads, string title)
    {
        progress.WriteLine(title);
        IReadOnlyList<string> command = [workloads.Suite, .. SuiteArguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        ConsoleRun run = await ConsoleRun.RunAsync(command, TimeSpan.FromSeconds(options.TimeoutSeconds)).ConfigureAwait(false);
        if (run.ExitCode != 0)
        {
            throw new BenchException($"the programs failed natively\n{run.Tail()}");
        }

        SuiteResult result = SuiteResult.Parse(run.Lines);
        return result.Measurements.Count > 0 ? result : throw new UsageException($"nothing is called {string.Join(" or ", options.SuiteNames)}");
    }

    /// <summary>A guest that fails must not spoil what the others gave.</summary>
    private async Task TryAsync(string what, Func<Task> work)
    {
        progress.WriteLine(what);
        try
        {
            await work().ConfigureAwait(false);
        }
        catch (BenchException error)
        {
            _failed = true;
            progress.WriteLine($"bench: {error.Message}");
        }
    }
}
