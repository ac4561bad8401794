namespace CooperativeLinux.Guests.Packages;

/// <summary>Reads apt's sources in both styles of sources.list(5).</summary>
internal static class AptSourceParser
{
    // Set by us for every source, so the user's values do not travel.
    private static readonly string[] OwnFields = ["Architectures", "Languages", "Targets", "Arch", "Lang", "Target"];

    /// <summary>Reads the files apt itself would read: one list, and a folder of <c>.list</c> and <c>.sources</c> files.</summary>
    public static IReadOnlyList<AptSource> ReadAll(string listFile, string partsFolder)
    {
        List<AptSource> sources = [];
        if (File.Exists(listFile))
        {
            sources.AddRange(ParseOneLine(File.ReadAllText(listFile)));
        }

        if (Directory.Exists(partsFolder))
        {
            foreach (string file in Directory.EnumerateFiles(partsFolder).Order(StringComparer.Ordinal))
            {
                if (file.EndsWith(".list", StringComparison.Ordinal))
                {
                    sources.AddRange(ParseOneLine(File.ReadAllText(file)));
                }
                else if (file.EndsWith(".sources", StringComparison.Ordinal))
                {
                    sources.AddRange(ParseDeb822(File.ReadAllText(file)));
                }
            }
        }

        return sources;
    }

    /// <summary>Reads <c>deb [options] uri suite component...</c> lines; source packages and comments are skipped.</summary>
    public static IEnumerable<AptSource> ParseOneLine(string text)
    {
        foreach (string rawLine in text.Split('\n'))
        {
            string line = rawLine.Split('#')[0].Trim().Replace('\t', ' ');
            if (!line.StartsWith("deb ", StringComparison.Ordinal))
            {
                continue;
            }

            line = line[4..].TrimStart();
            Dictionary<string, string> options = new(StringComparer.OrdinalIgnoreCase);
            if (line.StartsWith('['))
            {
                int end = line.IndexOf(']');
                if (end < 0)
                {
                    continue;
                }

                foreach (string option in Words(line[1..end]))
                {
                    int equals = option.IndexOf('=');
                    if (equals > 0)
                    {
                        AddOption(options, TitleCase(option[..equals].TrimEnd('+', '-')), option[(equals + 1)..].Replace(',', ' '));
                    }
                }

                line = line[(end + 1)..];
            }

            string[] words = Words(line);
            if (words.Length >= 2)
            {
                yield return new AptSource([words[0]], [words[1]], words[2..], options);
            }
        }
    }

    /// <summary>Reads deb822 stanzas; disabled ones and those without binary packages are skipped.</summary>
    public static IEnumerable<AptSource> ParseDeb822(string text)
    {
        foreach (Dictionary<string, string> stanza in ControlFile.Parse(text))
        {
            string enabled = stanza.GetValueOrDefault("Enabled", "yes").Trim().ToLowerInvariant();
            if (enabled is "no" or "false" or "0" or "off" or "disable" or "without")
            {
                continue;
            }

            string[] types = Words(stanza.GetValueOrDefault("Types", ""));
            string[] uris = Words(stanza.GetValueOrDefault("URIs", ""));
            string[] suites = Words(stanza.GetValueOrDefault("Suites", ""));
            if (!types.Contains("deb") || uris.Length == 0 || suites.Length == 0)
            {
                continue;
            }

            Dictionary<string, string> options = new(StringComparer.OrdinalIgnoreCase);
            foreach ((string name, string value) in stanza)
            {
                if (name.ToLowerInvariant() is not ("types" or "uris" or "suites" or "components" or "enabled"))
                {
                    AddOption(options, name, value);
                }
            }

            yield return new AptSource(uris, suites, Words(stanza.GetValueOrDefault("Components", "")), options);
        }
    }

    private static void AddOption(Dictionary<string, string> options, string name, string value)
    {
        if (!OwnFields.Contains(name, StringComparer.OrdinalIgnoreCase) && !name.StartsWith("X-", StringComparison.OrdinalIgnoreCase))
        {
            options[name] = value;
        }
    }

    private static string TitleCase(string name)
    {
        return string.Join('-', name.Split('-').Select(part => part.Length == 0 ? part : char.ToUpperInvariant(part[0]) + part[1..]));
    }

    private static string[] Words(string text)
    {
        return text.Split([' ', '\t', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);
    }
}
