namespace CooperativeLinux.Guests.Packages;

/// <summary>Where packages come from: the machine's own apt sources, another Debian archive, or a given list.</summary>
public sealed class AptSourceChoice
{
    private const string DebianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

    private readonly Func<CancellationToken, Task<IReadOnlyList<AptSource>>> _read;

    private AptSourceChoice(Func<CancellationToken, Task<IReadOnlyList<AptSource>>> read)
    {
        _read = read;
    }

    /// <summary>The sources this machine's apt is set up with, as far as they belong to its distribution release.</summary>
    public static AptSourceChoice OfMachine { get; } = new(ReadMachineSourcesAsync);

    /// <summary>A Debian archive by its address, with the suites of this machine's release, trusted by Debian's own keys.</summary>
    /// <param name="mirror">The address, or null for <see cref="OfMachine"/>.</param>
    /// <exception cref="GuestBuildException">It is no address.</exception>
    public static AptSourceChoice OfMirror(string? mirror)
    {
        if (mirror is null)
        {
            return OfMachine;
        }

        if (!Uri.TryCreate(mirror, UriKind.Absolute, out _) || mirror.Any(char.IsWhiteSpace))
        {
            throw new GuestBuildException($"'{mirror}' is not the address of a Debian archive");
        }

        string suite = ReadCodeName() ?? "stable";
        Dictionary<string, string> options = [];
        if (File.Exists(DebianKeyring))
        {
            options["Signed-By"] = DebianKeyring;
        }

        return OfList([new AptSource([mirror], [suite, suite + "-updates"], ["main"], options)]);
    }

    /// <summary>The code name of this machine's release, such as <c>bookworm</c>; null if it says none.</summary>
    public static string? HostRelease => ReadCodeName();

    /// <summary>A Debian release: from an archive, or from where the machine's apt gets its own release.</summary>
    /// <param name="release">Its code name, such as <c>trixie</c>.</param>
    /// <param name="mirror">The archive's address, or null for the machine's sources.</param>
    /// <exception cref="GuestBuildException">The address is none.</exception>
    public static AptSourceChoice OfRelease(string release, string? mirror)
    {
        AptSourceChoice own = OfMirror(mirror);
        return new AptSourceChoice(async cancellationToken =>
            OfRelease(await own.ReadAsync(cancellationToken).ConfigureAwait(false), ReadCodeName(), release));
    }

    /// <summary>Exactly these sources.</summary>
    public static AptSourceChoice OfList(IReadOnlyList<AptSource> sources)
    {
        return new AptSourceChoice(_ => Task.FromResult(sources));
    }

    /// <summary>Reads the sources.</summary>
    /// <exception cref="GuestBuildException">There are none, or they cannot be read.</exception>
    internal Task<IReadOnlyList<AptSource>> ReadAsync(CancellationToken cancellationToken)
    {
        return _read(cancellationToken);
    }

    /// <summary>
    /// Keeps the sources that belong to the distribution release: those with a suite named after its code name.
    /// Sources of others often fail or are not needed. If none is left, all are kept.
    /// </summary>
    internal static IReadOnlyList<AptSource> SelectDistribution(IReadOnlyList<AptSource> sources, string? codeName)
    {
        if (codeName is null)
        {
            return sources;
        }

        List<AptSource> kept = [];
        foreach (AptSource source in sources)
        {
            List<string> suites = [.. source.Suites.Where(suite => IsOfRelease(suite, codeName))];
            if (suites.Count > 0 && source.Components.Contains("main"))
            {
                kept.Add(source with { Suites = suites });
            }
        }

        return kept.Count > 0 ? kept : sources;
    }

    /// <summary>The same archives with the suites of another release. Backports are left out.</summary>
    internal static IReadOnlyList<AptSource> OfRelease(IReadOnlyList<AptSource> sources, string? own, string wanted)
    {
        List<AptSource> result = [];
        foreach (AptSource source in sources)
        {
            string[] suites = [.. source.Suites
                .Select(suite => Replace(suite, own, wanted))
                .Where(suite => suite == wanted || (suite.StartsWith(wanted, StringComparison.Ordinal) && !suite.Contains("backports", StringComparison.Ordinal)))
                .Distinct()];
            if (suites.Length > 0)
            {
                result.Add(source with { Suites = suites });
            }
        }

        return result.Count > 0
            ? result
            : throw new GuestBuildException($"apt's sources have no archive of Debian's releases to take {wanted} from; name one with --mirror");

        static string Replace(string suite, string? own, string wanted)
        {
            string? name = ((string?[])[own, "stable", "oldstable", "testing"])
                .FirstOrDefault(name => name is not null && (suite == name || suite.StartsWith(name + "-", StringComparison.Ordinal) || suite.StartsWith(name + "/", StringComparison.Ordinal)));
            return name is null ? suite : wanted + suite[name.Length..];
        }
    }

    private static bool IsOfRelease(string suite, string codeName)
    {
        string[] names = [codeName, "stable", "oldstable", "testing"];
        return names.Any(name => suite == name
            || suite.StartsWith(name + "-", StringComparison.Ordinal)
            || suite.StartsWith(name + "/", StringComparison.Ordinal));
    }

    private static string? ReadCodeName()
    {
        const string Prefix = "VERSION_CODENAME=";
        return File.Exists("/etc/os-release")
            ? File.ReadLines("/etc/os-release").FirstOrDefault(line => line.StartsWith(Prefix, StringComparison.Ordinal))?[Prefix.Length..].Trim('"')
            : null;
    }

    private static async Task<IReadOnlyList<AptSource>> ReadMachineSourcesAsync(CancellationToken cancellationToken)
    {
        Tool.Result result = await Tool.RunAsync(
            "apt-config", ["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"],
            cancellationToken: cancellationToken).ConfigureAwait(false);
        string list = ShellValue(result.Output, "LIST") ?? "/etc/apt/sources.list";
        string parts = ShellValue(result.Output, "PARTS") ?? "/etc/apt/sources.list.d";
        IReadOnlyList<AptSource> sources;
        try
        {
            sources = SelectDistribution(AptSourceParser.ReadAll(list, parts), ReadCodeName());
        }
        catch (UnauthorizedAccessException error)
        {
            throw new GuestBuildException($"cannot read apt's sources: {error.Message}", error);
        }

        return sources.Count > 0
            ? sources
            : throw new GuestBuildException($"apt has no package source in {list} or {parts}; name a Debian archive with --mirror");
    }

    private static string? ShellValue(string output, string name)
    {
        string? line = output.Split('\n').FirstOrDefault(line => line.StartsWith(name + "='", StringComparison.Ordinal));
        return line?[(name.Length + 2)..].TrimEnd('\'');
    }
}
