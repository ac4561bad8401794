using System.Text;

namespace CooperativeLinux.Guests.Packages;

/// <summary>One stanza of apt's sources: where packages come from, and how that place is trusted.</summary>
/// <param name="Uris">The archives' addresses.</param>
/// <param name="Suites">Suites such as <c>bookworm</c> and <c>bookworm-updates</c>.</param>
/// <param name="Components">Components such as <c>main</c>.</param>
/// <param name="Options">The other fields under their deb822 names (sources.list(5)), such as <c>Signed-By</c>.</param>
public sealed record AptSource(
    IReadOnlyList<string> Uris,
    IReadOnlyList<string> Suites,
    IReadOnlyList<string> Components,
    IReadOnlyDictionary<string, string> Options)
{
    /// <summary>Writes the stanza in deb822 style, asking for package indexes of amd64 only.</summary>
    public string ToDeb822()
    {
        StringBuilder text = new();
        text.Append("Types: deb\n");
        text.Append("URIs: ").AppendJoin(' ', Uris).Append('\n');
        text.Append("Suites: ").AppendJoin(' ', Suites).Append('\n');
        if (Components.Count > 0)
        {
            text.Append("Components: ").AppendJoin(' ', Components).Append('\n');
        }

        text.Append("Architectures: amd64\nTargets: Packages\n");
        foreach ((string name, string value) in Options)
        {
            text.Append(name).Append(": ").Append(value).Append('\n');
        }

        return text.ToString();
    }
}
