using System.Text.RegularExpressions;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>Reads <c>dmesg -r</c>.</summary>
internal static partial class KernelLog
{
    private static readonly Regex[] Normal = ReadNormal();

    /// <summary>The messages of level warning and worse that a healthy guest does not print.</summary>
    public static IReadOnlyList<string> Complaints(string log)
    {
        List<string> complaints = [];
        foreach (string line in log.Split('\n'))
        {
            Match match = Message().Match(line);
            if (!match.Success)
            {
                continue;
            }

            // The number is facility * 8 + level.
            int level = int.Parse(match.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture) & 7;
            string text = match.Groups[2].Value;
            bool isTrace = text.Contains("Call Trace", StringComparison.Ordinal)
                || text.Contains("WARNING:", StringComparison.Ordinal)
                || text.Contains("BUG:", StringComparison.Ordinal);
            if (isTrace || (level <= 4 && !Normal.Any(normal => normal.IsMatch(text))))
            {
                complaints.Add(line);
            }
        }

        return complaints;
    }

    private static Regex[] ReadNormal()
    {
        using Stream stream = typeof(KernelLog).Assembly.GetManifestResourceStream("normal-messages.txt")
            ?? throw new InvalidOperationException("no list of normal messages");
        using StreamReader reader = new(stream);
        return
        [
            .. reader.ReadToEnd().Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
                .Where(line => !line.StartsWith('#'))
                .Select(line => new Regex(line)),
        ];
    }

    [GeneratedRegex(@"^<(\d+)>\[ *\d+\.\d+\] (.*)$")]
    private static partial Regex Message();
}
