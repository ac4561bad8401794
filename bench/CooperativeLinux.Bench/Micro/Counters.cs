using System.Globalization;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Bench.Micro;

/// <summary>A copy of the processor's event counts.</summary>
internal sealed class Counters
{
    private readonly (string Name, long Value)[] _values;

    public Counters(ProcessorStatistics statistics) => _values =
    [
        ("blocks", statistics.BlocksTranslated), ("dropped", statistics.BlocksDropped), ("misses", statistics.AccessMisses),
        ("stack misses", statistics.StackMisses), ("links", statistics.Links), ("dispatches", statistics.Dispatches),
        ("page checks", statistics.PageChecks), ("polls", statistics.Polls), ("syscalls", statistics.Syscalls),
        ("environment", statistics.EnvironmentCalls), ("interpreted", statistics.Interpreted), ("careful", statistics.CarefulBlocks),
        ("cache flushes", statistics.CacheFlushes),
    ];

    /// <summary>Counts between two copies, per operation; those that did not change are left out.</summary>
    public static string Describe(Counters before, Counters after, double operations)
    {
        IEnumerable<string> parts = before._values.Zip(after._values)
            .Where(pair => pair.First.Value != pair.Second.Value)
            .Select(pair => string.Create(CultureInfo.InvariantCulture, $"{pair.First.Name} {(pair.Second.Value - pair.First.Value) / operations:G3}"));
        string text = string.Join(", ", parts);
        return text.Length == 0 ? "no events" : text;
    }
}
