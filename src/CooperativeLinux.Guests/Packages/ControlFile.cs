namespace CooperativeLinux.Guests.Packages;

/// <summary>Reads Debian control data (deb822(5)): stanzas of fields, separated by empty lines.</summary>
internal static class ControlFile
{
    /// <summary>
    /// Splits text into stanzas. Field names compare without case; continuation lines keep their leading space
    /// and line feed, so that a value can be written back as it was.
    /// </summary>
    public static IEnumerable<Dictionary<string, string>> Parse(string text)
    {
        Dictionary<string, string> stanza = new(StringComparer.OrdinalIgnoreCase);
        string? field = null;
        foreach (string rawLine in text.Split('\n'))
        {
            string line = rawLine.TrimEnd('\r');
            if (line.StartsWith('#'))
            {
                continue;
            }

            if (string.IsNullOrWhiteSpace(line))
            {
                if (stanza.Count > 0)
                {
                    yield return stanza;
                    stanza = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
                }

                field = null;
            }
            else if (line[0] is ' ' or '\t')
            {
                if (field is not null)
                {
                    stanza[field] += "\n" + line;
                }
            }
            else
            {
                int colon = line.IndexOf(':');
                field = colon > 0 ? line[..colon] : null;
                if (field is not null)
                {
                    stanza[field] = line[(colon + 1)..].Trim();
                }
            }
        }

        if (stanza.Count > 0)
        {
            yield return stanza;
        }
    }
}
