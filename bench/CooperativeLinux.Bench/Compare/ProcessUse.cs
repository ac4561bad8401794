using System.Globalization;

namespace CooperativeLinux.Bench.Compare;

/// <summary>What a process and its descendants used so far, from /proc.</summary>
/// <param name="ProcessorSeconds">User and system time.</param>
/// <param name="MemoryMiB">Memory held now; pages shared with other processes count in part (PSS).</param>
internal readonly record struct ProcessUse(double ProcessorSeconds, double MemoryMiB)
{
    private const double TicksPerSecond = 100; // USER_HZ of Linux on x86

    public static ProcessUse Measure(int process)
    {
        Dictionary<int, (int Parent, double Time)> all = [];
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out int id) && ReadStat(folder) is (int, double) stat)
            {
                all.Add(id, stat);
            }
        }

        double seconds = 0;
        double memory = 0;
        foreach (int id in all.Keys.Where(id => DescendsFrom(id)))
        {
            seconds += all[id].Time;
            memory += ReadProportionalMemory(id);
        }

        return new ProcessUse(seconds, memory);

        bool DescendsFrom(int id) => id == process || (all.TryGetValue(id, out (int Parent, double Time) entry) && entry.Parent != 0 && DescendsFrom(entry.Parent));
    }

    private static (int Parent, double Time)? ReadStat(string folder)
    {
        try
        {
            // "id (name) state parent ..."; the name may hold anything. utime and stime are the 14th and 15th of all.
            string text = File.ReadAllText(Path.Combine(folder, "stat"));
            string[] fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
            double ticks = double.Parse(fields[11], CultureInfo.InvariantCulture) + double.Parse(fields[12], CultureInfo.InvariantCulture);
            return (int.Parse(fields[1], CultureInfo.InvariantCulture), ticks / TicksPerSecond);
        }
        catch (IOException)
        {
            return null; // it ended meanwhile
        }
    }

    private static double ReadProportionalMemory(int id)
    {
        try
        {
            string? line = File.ReadLines($"/proc/{id}/smaps_rollup").FirstOrDefault(line => line.StartsWith("Pss:", StringComparison.Ordinal));
            return line == null ? 0 : double.Parse(line[4..^2], CultureInfo.InvariantCulture) / 1024;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0; // it ended meanwhile
        }
    }
}
