using CooperativeLinux.Processor.Tests.Oracle;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Removes items from a failing program as long as it still fails.</summary>
internal static class ProgramShrinker
{
    /// <summary>The smallest failing case found.</summary>
    /// <param name="program">A failing program.</param>
    /// <param name="fails">Whether a case fails.</param>
    public static TestCase Shrink(RandomProgram program, Func<TestCase, bool> fails)
    {
        TestCase smallest = program.Build()!;
        List<List<ProgramItem>> units = Units(program);
        for (int size = Math.Max(1, units.Count / 2); size > 0; size /= 2)
        {
            for (int i = 0; i < units.Count; i += size)
            {
                List<ProgramItem> removed = [.. units.Skip(i).Take(size).SelectMany(unit => unit).Where(item => item.IsEnabled)];
                removed.ForEach(item => item.IsEnabled = false);
                TestCase? candidate = removed.Count == 0 ? null : program.Build();
                if (candidate is not null && fails(candidate))
                {
                    smallest = candidate;
                }
                else
                {
                    removed.ForEach(item => item.IsEnabled = true);
                }
            }
        }

        return smallest;
    }

    /// <summary>Items that go together.</summary>
    private static List<List<ProgramItem>> Units(RandomProgram program)
    {
        List<List<ProgramItem>> units = [];
        Dictionary<int, List<ProgramItem>> groups = [];
        foreach (ProgramItem item in program.Items.Where(item => !item.IsEnd))
        {
            if (item.Group != 0 && groups.TryGetValue(item.Group, out List<ProgramItem>? group))
            {
                group.Add(item);
                continue;
            }

            List<ProgramItem> unit = [item];
            units.Add(unit);
            if (item.Group != 0)
            {
                groups.Add(item.Group, unit);
            }
        }

        return units;
    }
}
