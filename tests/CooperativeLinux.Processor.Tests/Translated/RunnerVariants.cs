using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Processor.Tests.Translated;

/// <summary>The configurations every kind of case runs in.</summary>
internal static class RunnerVariants
{
    private const int SmallCache = 256 << 10;

    private static readonly Dictionary<string, RunnerOptions> All = new()
    {
        ["default"] = new RunnerOptions(),
        ["kernel mode"] = new RunnerOptions { KernelMode = true },
        ["one-instruction blocks"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = TestScale.Verify, MaxBlockInstructions = 1 } },
        ["small code cache"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = TestScale.Verify, CodeCacheSize = SmallCache } },
        ["no stack windows"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = TestScale.Verify, NoStackWindows = true } },
        ["always careful"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = TestScale.Verify, AlwaysCareful = true } },
        ["TLB always empty"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = TestScale.Verify, FlushAlways = true } },
        ["clean page tables"] = new RunnerOptions { CleanPageTables = true },
        ["inline TLB"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = TestScale.Verify, AlwaysHot = true } },
        ["always poll"] = new RunnerOptions { AlwaysPoll = true },
    };

    public static IReadOnlyList<string> Names { get; } = [.. All.Keys];

    public static RunnerOptions Get(string name) => All[name];

    /// <summary>A number that makes the cases of each configuration different ones.</summary>
    public static int FirstCase(string name) => 1_000_000 * Names.ToList().IndexOf(name);
}
