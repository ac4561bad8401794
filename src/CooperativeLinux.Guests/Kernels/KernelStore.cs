using System.Text.RegularExpressions;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Kernels;

/// <summary>Stock Debian kernels, fetched once and kept in the cache.</summary>
public sealed partial class KernelStore
{
    private const string KernelsFolder = "kernels";

    private readonly GuestCache _cache;
    private readonly AptSourceChoice _sources;

    /// <summary>Creates the store.</summary>
    /// <param name="cache">Where the kernels are kept.</param>
    /// <param name="sources">Where packages come from, or null for the machine's apt sources.</param>
    public KernelStore(GuestCache cache, AptSourceChoice? sources = null)
    {
        ArgumentNullException.ThrowIfNull(cache);
        _cache = cache;
        _sources = sources ?? AptSourceChoice.OfMachine;
    }

    /// <summary>Returns a kernel from the cache, fetching it first if it is not there.</summary>
    /// <param name="flavour">Which kernel.</param>
    /// <param name="progress">Told what is going on, or null.</param>
    /// <param name="cancellationToken">Gives up; the cache stays as it was.</param>
    /// <exception cref="GuestBuildException">The kernel cannot be had; the message says why in one line.</exception>
    public async Task<Kernel> GetAsync(
        KernelFlavour flavour, IProgress<GuestProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(flavour);
        if (Find(flavour) is Kernel present)
        {
            return present;
        }

        using IDisposable cacheLock = await _cache.LockAsync(progress, cancellationToken).ConfigureAwait(false);
        return Find(flavour) ?? await FetchAsync(flavour, isListRenewed: false, progress, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Fetches the newest kernel of a flavour even if the cache holds one; older ones stay.</summary>
    /// <exception cref="GuestBuildException">The kernel cannot be had; the message says why in one line.</exception>
    public async Task<Kernel> RefreshAsync(
        KernelFlavour flavour, IProgress<GuestProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(flavour);
        using IDisposable cacheLock = await _cache.LockAsync(progress, cancellationToken).ConfigureAwait(false);
        return await FetchAsync(flavour, isListRenewed: true, progress, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The kernel of that flavour that is in the cache or came with the program, or null. Does no more than read a small file.</summary>
    public Kernel? Find(KernelFlavour flavour)
    {
        ArgumentNullException.ThrowIfNull(flavour);
        foreach (string folder in _cache.Folders)
        {
            string current = Path.Combine(folder, KernelsFolder, flavour.Name);
            if (File.Exists(current) && KernelOf(folder, File.ReadAllText(current).Trim()) is var kernel && File.Exists(kernel.VmlinuzPath))
            {
                return kernel;
            }
        }

        return null;
    }

    /// <summary>
    /// Chooses the newest version of a series among the stanzas of the kernel meta packages, and returns the
    /// package that holds the image as <c>name=version</c>, or null if the series is not offered.
    /// </summary>
    internal static string? ChooseImage(KernelFlavour flavour, IEnumerable<Dictionary<string, string>> metaPackages)
    {
        Dictionary<string, string>? newest = metaPackages
            .Where(stanza => stanza.GetValueOrDefault("Version", "").StartsWith(flavour.Series + ".", StringComparison.Ordinal))
            .MaxBy(stanza => stanza["Version"], DebianVersion.Comparer);
        Match match = ImageDependency().Match(newest?.GetValueOrDefault("Depends", "") ?? "");
        return match.Success ? $"{match.Groups[1].Value}={match.Groups[2].Value}" : null;
    }

    private static Kernel KernelOf(string folder, string release)
    {
        return new Kernel(release, Path.Combine(folder, KernelsFolder, "by-release", release));
    }

    private async Task<Kernel> FetchAsync(
        KernelFlavour flavour, bool isListRenewed, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        AptWorkspace apt = new(_cache, _sources);
        await apt.PrepareAsync(isListRenewed, progress, cancellationToken).ConfigureAwait(false);
        string? package = await ChooseImageAsync(apt, flavour, cancellationToken).ConfigureAwait(false);
        if (package is null && await apt.AddSuiteAsync("backports", progress, cancellationToken).ConfigureAwait(false))
        {
            package = await ChooseImageAsync(apt, flavour, cancellationToken).ConfigureAwait(false);
        }

        if (package is null)
        {
            throw new GuestBuildException(
                $"no kernel {flavour} in the package sources of this machine; name another Debian archive with --mirror");
        }

        string release = package.Split('=')[0]["linux-image-".Length..];
        Kernel kernel = KernelOf(_cache.Root, release);
        if (!File.Exists(kernel.VmlinuzPath))
        {
            await UnpackAsync(apt, package, kernel, progress, cancellationToken).ConfigureAwait(false);
        }

        _cache.PublishText(release + "\n", _cache.PathOf(KernelsFolder, flavour.Name));
        return kernel;
    }

    private static async Task<string?> ChooseImageAsync(AptWorkspace apt, KernelFlavour flavour, CancellationToken cancellationToken)
    {
        string build = flavour.IsCloud ? "cloud-amd64" : "amd64";
        return ChooseImage(
            flavour,
            await apt.ShowAsync([$"linux-image-{build}", $"linux-image-{flavour.Series}-{build}"], cancellationToken).ConfigureAwait(false));
    }

    private async Task UnpackAsync(
        AptWorkspace apt, string package, Kernel kernel, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        string work = _cache.NewTemporaryPath();
        string unpacked = Path.Combine(work, "unpacked");
        string result = Path.Combine(work, "result");
        IReadOnlyList<string> files = await apt.DownloadAsync([package], work, progress, cancellationToken).ConfigureAwait(false);
        progress?.Report(new GuestProgress($"Unpacking kernel {kernel.Release}"));
        Tool.Result dpkg = await Tool.RunAsync("dpkg-deb", ["-x", files[0], unpacked], work, cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        if (dpkg.ExitCode != 0)
        {
            throw new GuestBuildException($"cannot unpack {Path.GetFileName(files[0])}: {dpkg.Complaint}");
        }

        Directory.CreateDirectory(result);
        Move($"boot/vmlinuz-{kernel.Release}", "vmlinuz");
        Move($"boot/config-{kernel.Release}", "config");
        if (!TryMove($"usr/lib/modules/{kernel.Release}", "modules"))
        {
            Move($"lib/modules/{kernel.Release}", "modules");
        }

        await Tool.RunAsync("sync", ["-f", result], cancellationToken: cancellationToken).ConfigureAwait(false);
        _cache.PublishDirectory(result, kernel.Folder);

        void Move(string from, string to)
        {
            if (!TryMove(from, to))
            {
                throw new GuestBuildException($"the package {package} has no {from}");
            }
        }

        bool TryMove(string from, string to)
        {
            string source = Path.Combine(unpacked, from);
            if (!Path.Exists(source))
            {
                return false;
            }

            Directory.Move(source, Path.Combine(result, to));
            return true;
        }
    }

    [GeneratedRegex(@"(linux-image-[0-9][a-z0-9.+~-]*) \(= ([^)]+)\)")]
    private static partial Regex ImageDependency();
}
