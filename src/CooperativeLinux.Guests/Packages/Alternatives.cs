using System.Globalization;
using System.Text.RegularExpressions;
using CooperativeLinux.Guests.Files;

namespace CooperativeLinux.Guests.Packages;

/// <summary>
/// Debian's alternatives (update-alternatives(1)): which of several programs is <c>awk</c>, <c>cc</c> and so on.
/// Packages say it in their installation scripts; since these are not run, the calls are read from their text.
/// </summary>
internal static partial class Alternatives
{
    /// <summary>One thing a name can stand for.</summary>
    /// <param name="Link">The public path, such as <c>/usr/bin/awk</c>.</param>
    /// <param name="Name">The name in <c>/etc/alternatives</c>.</param>
    /// <param name="Path">The program.</param>
    /// <param name="Priority">The highest wins.</param>
    internal sealed record Choice(string Link, string Name, string Path, int Priority);

    /// <summary>Takes the choices out of an installation script. Calls with variables in them are passed over.</summary>
    public static IReadOnlyList<Choice> Parse(string script)
    {
        List<Choice> choices = [];
        foreach (string line in script.Replace("\\\n", " ", StringComparison.Ordinal).Split('\n'))
        {
            Match install = InstallPattern().Match(line);
            if (!line.Contains("update-alternatives", StringComparison.Ordinal) || !install.Success)
            {
                continue;
            }

            int priority = int.Parse(install.Groups[4].ValueSpan, CultureInfo.InvariantCulture);
            choices.Add(new Choice(install.Groups[1].Value, install.Groups[2].Value, install.Groups[3].Value, priority));
            choices.AddRange(SlavePattern().Matches(line)
                .Select(slave => new Choice(slave.Groups[1].Value, slave.Groups[2].Value, slave.Groups[3].Value, priority)));
        }

        return choices;
    }

    /// <summary>Makes the links of the best choices whose programs are there.</summary>
    public static void Apply(FileTree tree, IEnumerable<Choice> choices)
    {
        foreach (IGrouping<string, Choice> group in choices.Where(choice => tree.Exists(choice.Path)).GroupBy(choice => choice.Name))
        {
            Choice best = group.MaxBy(choice => choice.Priority)!;
            tree.AddLink("etc/alternatives/" + best.Name, best.Path);
            if (tree.Find(best.Link) is null)
            {
                tree.AddLink(best.Link, "/etc/alternatives/" + best.Name);
            }
        }
    }

    [GeneratedRegex(@"--install\s+(/[^\s$""';]+)\s+([^\s$""'/;]+)\s+(/[^\s$""';]+)\s+([0-9]{1,9})\b")]
    private static partial Regex InstallPattern();

    [GeneratedRegex(@"--slave\s+(/[^\s$""';]+)\s+([^\s$""'/;]+)\s+(/[^\s$""';]+)")]
    private static partial Regex SlavePattern();
}
