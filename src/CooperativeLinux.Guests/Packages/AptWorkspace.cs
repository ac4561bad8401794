using System.Globalization;
using System.Text;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Packages;

/// <summary>
/// A private apt: its own package lists, downloads and (empty) dpkg status in the cache folder, with the Debian
/// sources, keys, proxies and credentials of the machine's own apt. Nothing of the system is changed and no
/// rights are needed. The caller holds the cache's lock.
/// </summary>
public sealed class AptWorkspace
{
    // More names than that are no help in a message.
    private const int NamedPackages = 5;

    private static readonly TimeSpan ListsLifetime = TimeSpan.FromDays(1);

    private readonly GuestCache _cache;
    private readonly AptSourceChoice _choice;
    private readonly string _folder;
    private bool _isPrepared;

    // What apt said when it could not fetch all lists; it then goes on with those it has.
    private string? _updateFailure;

    /// <summary>Creates the workspace in a cache.</summary>
    /// <param name="cache">The cache that holds it.</param>
    /// <param name="choice">Where packages come from.</param>
    /// <param name="folder">Name of its folder in the cache; one for each release, so that their lists stay.</param>
    /// <exception cref="GuestBuildException">apt cannot work in this cache folder.</exception>
    public AptWorkspace(GuestCache cache, AptSourceChoice choice, string folder = "apt")
    {
        ArgumentNullException.ThrowIfNull(cache);
        ArgumentNullException.ThrowIfNull(choice);
        if (cache.Root.AsSpan().IndexOfAny('"', '\n') >= 0)
        {
            throw new GuestBuildException($"apt cannot use a cache folder with such a name: {cache.Root}");
        }

        _cache = cache;
        _choice = choice;
        _folder = cache.PathOf(folder);
    }

    private string ConfigurationPath => Path.Combine(_folder, "apt.conf");

    private string SourcesPath => Path.Combine(_folder, "sources.list.d", "debian.sources");

    private string StampPath => Path.Combine(_folder, "updated");

    /// <summary>Makes the private state ready and fetches package lists if there are none from the last day.</summary>
    /// <param name="isListRenewed">Whether to fetch the lists in any case.</param>
    /// <param name="progress">Told what is going on, or null.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="GuestBuildException">There is no Debian source, or apt fails.</exception>
    public async Task PrepareAsync(bool isListRenewed, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        if (_isPrepared)
        {
            return;
        }

        if (OperatingSystem.IsWindows())
        {
            throw new GuestBuildException(
                "kernels and guests are made with Debian's apt, which Windows does not have: "
                + $"run the same command on a Debian machine, and copy the folders kernels and images of its ~/.cache/colinux into {_cache.Root}");
        }

        string sources = string.Join('\n', (await _choice.ReadAsync(cancellationToken).ConfigureAwait(false)).Select(s => s.ToDeb822()));
        bool isFresh = !isListRenewed
            && File.Exists(StampPath)
            && DateTime.UtcNow - File.GetLastWriteTimeUtc(StampPath) < ListsLifetime
            && File.Exists(SourcesPath)
            && File.ReadAllText(SourcesPath) == sources;
        WriteConfiguration(sources);
        if (!isFresh)
        {
            await UpdateAsync(progress, cancellationToken).ConfigureAwait(false);
        }

        _isPrepared = true;
    }

    /// <summary>Adds a suite of the same archive, such as <c>backports</c>, and fetches its package list.</summary>
    /// <returns>False if no source has such a suite beside it, or if it is there already.</returns>
    public async Task<bool> AddSuiteAsync(string suffix, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        IReadOnlyList<AptSource> sources = [.. AptSourceParser.ParseDeb822(File.ReadAllText(SourcesPath))];
        AptSource? main = sources.FirstOrDefault(s => s.Suites.Any(suite => !suite.Contains('-') && !suite.Contains('/')));
        string? suite = main?.Suites.First(s => !s.Contains('-') && !s.Contains('/'));
        string wanted = $"{suite}-{suffix}";
        if (main is null || sources.Any(s => s.Suites.Contains(wanted)))
        {
            return false;
        }

        string extraPath = Path.Combine(_folder, "sources.list.d", suffix + ".sources");
        string extra = (main with { Suites = [wanted], Components = ["main"] }).ToDeb822();
        if (File.Exists(extraPath) && File.ReadAllText(extraPath) == extra)
        {
            return false;
        }

        _cache.PublishText(extra, extraPath);
        await UpdateAsync(progress, cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>Fetches the package lists anew.</summary>
    /// <exception cref="GuestBuildException">No list could be fetched.</exception>
    public async Task UpdateAsync(IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        File.Delete(StampPath);
        Tool.Result result = await RunWithProgressAsync(
            "Fetching the list of Debian packages", ["update", "-o", "APT::Update::Error-Mode=any"], _folder, progress, cancellationToken)
            .ConfigureAwait(false);

        // One source that fails (a suite the archive has not got) must not hide the others.
        // Lists of other sources, from before, do not count.
        Tool.Result lists = await Tool.RunAsync(
            "apt-get", ["-c", ConfigurationPath, "indextargets", "--format", "$(FILENAME)", "Created-By: Packages"], _folder, cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        if (string.IsNullOrWhiteSpace(lists.Output))
        {
            throw new GuestBuildException($"cannot fetch the list of Debian packages: {result.Complaint}");
        }

        _updateFailure = result.ExitCode == 0 ? null : result.Complaint;
        if (result.ExitCode == 0)
        {
            File.WriteAllText(StampPath, "");
        }
    }

    /// <summary>The control stanzas of every known version of the named packages; unknown names are left out.</summary>
    internal async Task<IReadOnlyList<Dictionary<string, string>>> ShowAsync(
        IEnumerable<string> packages, CancellationToken cancellationToken)
    {
        Tool.Result result = await Tool.RunAsync(
            "apt-cache", ["-c", ConfigurationPath, "show", "--all-versions", .. packages], _folder, cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        return [.. ControlFile.Parse(result.Output)];
    }

    /// <summary>
    /// What installing the packages on an empty system would unpack: them and all they need, without
    /// recommendations, in the order in which apt would unpack them, as <c>name=version</c>.
    /// </summary>
    /// <exception cref="GuestBuildException">A package is unknown or cannot be installed.</exception>
    public async Task<IReadOnlyList<string>> ResolveAsync(IEnumerable<string> packages, CancellationToken cancellationToken)
    {
        List<string> wanted = [.. packages];
        Tool.Result result = await Tool.RunAsync(
            "apt-get",
            ["-c", ConfigurationPath, "-q", "-s", "--no-install-recommends", "install", "--", .. wanted],
            _folder,
            cancellationToken: cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            string what = wanted.Count <= NamedPackages ? string.Join(' ', wanted) : "the packages";
            string cause = _updateFailure is null ? "" : $"; not all package lists could be fetched: {_updateFailure}";
            throw new GuestBuildException($"apt cannot install {what}: {result.Complaint}{cause}");
        }

        return ParseSimulation(result.Output);
    }

    /// <summary>
    /// Makes sure that packages (<c>name</c> or <c>name=version</c>) are in a folder. What is fetched is checked
    /// against the signed lists by apt and appears in the folder only when it is complete.
    /// </summary>
    /// <returns>The paths of the package files, in the order of the names.</returns>
    /// <exception cref="GuestBuildException">A package is unknown or cannot be fetched.</exception>
    public async Task<IReadOnlyList<string>> DownloadAsync(
        IReadOnlyList<string> packages, string folder, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        IReadOnlyList<string>? paths = await TryDownloadAsync(packages, folder, progress, cancellationToken).ConfigureAwait(false);
        if (paths is null)
        {
            // The archive may have replaced a package since its list was fetched.
            await UpdateAsync(progress, cancellationToken).ConfigureAwait(false);
            paths = await TryDownloadAsync(packages, folder, progress, cancellationToken).ConfigureAwait(false);
        }

        return paths ?? throw new GuestBuildException($"the Debian archive has no {string.Join(' ', packages)} although it lists it");
    }

    /// <summary>Fetches what is missing. Null if the archive no longer has a file.</summary>
    private async Task<IReadOnlyList<string>?> TryDownloadAsync(
        IReadOnlyList<string> packages, string folder, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(folder);
        string work = _cache.NewTemporaryPath();
        Directory.CreateDirectory(work);

        // In an empty folder, because apt leaves out what the current one has.
        Tool.Result uris = await Tool.RunAsync(
            "apt-get", ["-c", ConfigurationPath, "-q", "--print-uris", "download", .. packages], work,
            cancellationToken: cancellationToken).ConfigureAwait(false);
        if (uris.ExitCode != 0)
        {
            throw new GuestBuildException($"cannot fetch {string.Join(' ', packages)}: {uris.Complaint}");
        }

        // File names start with the package's name and an underscore, which no name contains.
        Dictionary<string, (string Name, long Size)> files = ParseUris(uris.Output).ToDictionary(file => file.Name.Split('_')[0]);
        List<string> paths = [];
        List<string> missing = [];
        foreach (string package in packages)
        {
            if (!files.TryGetValue(package.Split('=', ':')[0], out (string Name, long Size) file))
            {
                throw new GuestBuildException($"cannot fetch {package}: apt knows no file of it");
            }

            FileInfo present = new(Path.Combine(folder, file.Name));
            paths.Add(present.FullName);
            if (!present.Exists || present.Length != file.Size)
            {
                missing.Add(package);
            }
        }

        if (missing.Count == 0)
        {
            return paths;
        }

        string activity = missing.Count == 1 ? $"Fetching {missing[0].Split('=')[0]}" : $"Fetching {missing.Count} packages";
        Tool.Result result = await RunWithProgressAsync(
            activity, ["download", .. missing], work, progress, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            return result.Errors.Contains("404", StringComparison.Ordinal)
                ? null
                : throw new GuestBuildException($"cannot fetch {string.Join(' ', missing)}: {result.Complaint}");
        }

        foreach (string file in Directory.EnumerateFiles(work))
        {
            GuestCache.PublishFile(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        return paths.TrueForAll(File.Exists)
            ? paths
            : throw new GuestBuildException($"apt did not fetch all of {string.Join(' ', missing)}");
    }

    /// <summary>Takes the <c>Inst name (version ...)</c> lines of a simulated installation.</summary>
    internal static IReadOnlyList<string> ParseSimulation(string output)
    {
        List<string> packages = [];
        foreach (string line in output.Split('\n'))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            int version = Array.FindIndex(words, word => word.StartsWith('('));
            if (words.Length >= 3 && words[0] == "Inst" && version > 1)
            {
                packages.Add($"{words[1]}={words[version][1..]}");
            }
        }

        return packages;
    }

    /// <summary>Takes file names and sizes in bytes from apt's <c>'uri' name size hash</c> lines.</summary>
    internal static IReadOnlyList<(string Name, long Size)> ParseUris(string output)
    {
        List<(string Name, long Size)> files = [];
        foreach (string line in output.Split('\n'))
        {
            string[] words = line.Split(' ');
            if (line.StartsWith('\'')
                && words.Length >= 3
                && long.TryParse(words[2], NumberStyles.None, CultureInfo.InvariantCulture, out long size))
            {
                files.Add((words[1], size));
            }
        }

        return files;
    }

    private void WriteConfiguration(string sources)
    {
        foreach (string folder in (string[])["state/lists/partial", "cache/archives/partial", "log", "sources.list.d"])
        {
            Directory.CreateDirectory(Path.Combine(_folder, folder));
        }

        File.WriteAllText(Path.Combine(_folder, "status"), "");

        // Read by apt after the machine's own configuration (-c), so proxies stay and the rest is overridden.
        // The hooks belong to the system's package lists; they must not run for ours.
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $$"""
            Dir::State "{{_folder}}/state/";
            Dir::State::lists "lists/";
            Dir::State::status "{{_folder}}/status";
            Dir::State::extended_states "extended_states";
            Dir::Cache "{{_folder}}/cache/";
            Dir::Cache::archives "archives/";
            Dir::Cache::pkgcache "pkgcache.bin";
            Dir::Cache::srcpkgcache "srcpkgcache.bin";
            Dir::Log "{{_folder}}/log";
            Dir::Etc::sourcelist "/dev/null";
            Dir::Etc::sourceparts "{{_folder}}/sources.list.d/";
            Dir::Etc::preferences "/dev/null";
            Dir::Etc::preferencesparts "/dev/null";
            #clear APT::Architectures;
            #clear APT::Update::Pre-Invoke;
            #clear APT::Update::Post-Invoke;
            #clear APT::Update::Post-Invoke-Success;
            #clear DPkg::Pre-Invoke;
            #clear DPkg::Post-Invoke;
            #clear DPkg::Pre-Install-Pkgs;
            #clear APT::Default-Release;
            APT::Architecture "amd64";
            APT::Architectures { "amd64"; };
            APT::Install-Recommends "false";
            APT::Install-Suggests "false";
            APT::Sandbox::User "root";
            Acquire::Languages "none";
            Acquire::Retries "3";

            """);
        File.WriteAllText(ConfigurationPath, text.ToString());
        if (!File.Exists(SourcesPath) || File.ReadAllText(SourcesPath) != sources)
        {
            foreach (string old in Directory.EnumerateFiles(Path.GetDirectoryName(SourcesPath)!))
            {
                File.Delete(old);
            }

            _cache.PublishText(sources, SourcesPath);
        }
    }

    private async Task<Tool.Result> RunWithProgressAsync(
        string activity,
        IEnumerable<string> arguments,
        string folder,
        IProgress<GuestProgress>? progress,
        CancellationToken cancellationToken)
    {
        progress?.Report(new GuestProgress(activity));
        return await Tool.RunAsync(
            "apt-get",
            ["-c", ConfigurationPath, "-q", "-o", "APT::Status-Fd=1", .. arguments],
            folder,
            line =>
            {
                // dlstatus:<job>:<percent>:<text>, apt's progress-reporting format.
                string[] fields = line.Split(':', 4);
                if (fields.Length == 4
                    && fields[0] == "dlstatus"
                    && double.TryParse(fields[2], NumberStyles.Float, CultureInfo.InvariantCulture, out double percent))
                {
                    progress?.Report(new GuestProgress(activity, percent / 100));
                }
            },
            cancellationToken).ConfigureAwait(false);
    }
}
