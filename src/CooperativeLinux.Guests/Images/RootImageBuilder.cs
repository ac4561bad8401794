using System.IO.Compression;
using System.Text;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Images;

/// <summary>
/// Makes initramfs images of Debian packages, without root: apt says what is needed and fetches it, the packages
/// are unpacked into a list of files, and what their installation scripts would do to make programs work (user
/// database, alternatives, library cache, certificates) is done here. The scripts themselves are not run.
/// The image starts like the default guest: a shell, or a <see cref="GuestScript"/>.
/// </summary>
public sealed class RootImageBuilder
{
    // Raise when the code below puts something else into an image than before.
    private const string Format = "1";

    private static readonly string[] BasicPackages = ["base-files", "base-passwd", "dash", "coreutils", "libc-bin"];

    private readonly GuestCache _cache;
    private readonly AptSourceChoice _sources;

    /// <summary>Creates the builder.</summary>
    /// <param name="cache">Where packages and images are kept.</param>
    /// <param name="sources">Where packages come from, or null for the machine's apt sources.</param>
    public RootImageBuilder(GuestCache cache, AptSourceChoice? sources = null)
    {
        ArgumentNullException.ThrowIfNull(cache);
        _cache = cache;
        _sources = sources ?? AptSourceChoice.OfMachine;
    }

    /// <summary>Returns the image with the given packages, which is made once and kept.</summary>
    /// <returns>The path of a cpio archive without kernel modules; it fits every kernel.</returns>
    /// <exception cref="GuestBuildException">It cannot be made; the message says why in one line.</exception>
    public async Task<string> GetAsync(
        RootImageOptions options, IProgress<GuestProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        string[] wanted = [.. BasicPackages, .. options.IncludesEssential ? (string[])["?essential"] : [], .. options.Packages.Order(StringComparer.Ordinal)];
        string name = $"root-{InitLayer.Fingerprint([Format, .. wanted])}.cpio{(options.IsCompressed ? ".gz" : "")}";
        if (_cache.Find("images", name) is string present)
        {
            return present;
        }

        string path = _cache.PathOf("images", name);
        using IDisposable cacheLock = await _cache.LockAsync(progress, cancellationToken).ConfigureAwait(false);
        if (File.Exists(path))
        {
            return path;
        }

        string work = _cache.NewTemporaryPath();
        Directory.CreateDirectory(work);
        AptWorkspace apt = new(_cache, _sources);
        await apt.PrepareAsync(isListRenewed: false, progress, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<string> resolved = await apt.ResolveAsync(wanted, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<string> files = await apt.DownloadAsync(resolved, _cache.PathOf("packages"), progress, cancellationToken)
            .ConfigureAwait(false);
        Busybox busybox = await Busybox.GetAsync(apt, Path.Combine(work, "tools"), progress, cancellationToken).ConfigureAwait(false);

        string staging = Path.Combine(work, "root");
        FileTree tree = CreateSkeleton(staging);
        List<PackageContents> packages = [];
        foreach (string file in files)
        {
            progress?.Report(new GuestProgress($"Unpacking {files.Count} packages", (double)packages.Count / files.Count));
            packages.Add(await PackageContents.UnpackAsync(file, tree, staging, cancellationToken).ConfigureAwait(false));
        }

        await ConfigureAsync(tree, packages, staging, cancellationToken).ConfigureAwait(false);
        InitLayer.AddInit(tree, busybox.Path, busybox.Applets);

        progress?.Report(new GuestProgress("Writing the image"));
        string temporary = _cache.NewTemporaryPath();
        await WriteAsync(tree, temporary, options.IsCompressed, cancellationToken).ConfigureAwait(false);
        GuestCache.PublishFile(temporary, path);
        return path;
    }

    /// <summary>Does what the packages' installation scripts would do for programs to work.</summary>
    internal static async Task ConfigureAsync(
        FileTree tree, IReadOnlyList<PackageContents> packages, string staging, CancellationToken cancellationToken)
    {
        Alternatives.Apply(tree, packages.SelectMany(package => Alternatives.Parse(package.PostInstall)));
        CopyIfMissing(tree, "usr/share/base-passwd/passwd.master", "etc/passwd");
        CopyIfMissing(tree, "usr/share/base-passwd/group.master", "etc/group");
        CopyIfMissing(tree, "usr/share/base-files/profile", "etc/profile");
        CopyIfMissing(tree, "usr/share/base-files/dot.bashrc", "root/.bashrc");
        CopyIfMissing(tree, "usr/share/base-files/dot.profile", "root/.profile");
        JoinCertificates(tree, staging);
        AddPackageDatabase(tree, packages);

        // Libraries in unusual folders are found only through the cache. ldconfig works on any folder, without root.
        Tool.Result ldconfig = await Tool.RunAsync("ldconfig", ["-X", "-r", staging], cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        string cache = Path.Combine(staging, "etc/ld.so.cache");
        if (ldconfig.ExitCode != 0 || !File.Exists(cache))
        {
            throw new GuestBuildException($"cannot make the list of libraries: {ldconfig.Complaint}");
        }

        tree.AddFile("etc/ld.so.cache", cache);
    }

    private static FileTree CreateSkeleton(string staging)
    {
        FileTree tree = new();
        InitLayer.AddSkeleton(tree);
        foreach ((string path, FileNode node) in tree.Entries)
        {
            string staged = Path.Combine(staging, path);
            if (node.Kind == FileKind.Directory)
            {
                Directory.CreateDirectory(staged);
            }
            else if (node.Kind == FileKind.SymbolicLink)
            {
                Directory.CreateDirectory(Path.GetDirectoryName(staged)!);
                File.CreateSymbolicLink(staged, node.Target!);
            }
        }

        return tree;
    }

    private static void CopyIfMissing(FileTree tree, string from, string to)
    {
        if (tree.Find(from)?.ContentPath is string content && !tree.Exists(to))
        {
            tree.AddFile(to, content);
        }
    }

    private static void JoinCertificates(FileTree tree, string staging)
    {
        List<string> certificates = [.. tree.Entries
            .Where(entry => entry.Key.StartsWith("usr/share/ca-certificates/", StringComparison.Ordinal)
                && entry.Key.EndsWith(".crt", StringComparison.Ordinal)
                && entry.Value.ContentPath is not null)
            .Select(entry => File.ReadAllText(entry.Value.ContentPath!).TrimEnd('\n') + "\n")];
        if (certificates.Count > 0)
        {
            string joined = Path.Combine(staging, "etc/ssl/certs/ca-certificates.crt");
            Directory.CreateDirectory(Path.GetDirectoryName(joined)!);
            File.WriteAllText(joined, string.Concat(certificates));
            tree.AddFile("etc/ssl/certs/ca-certificates.crt", joined);
        }
    }

    private static void AddPackageDatabase(FileTree tree, IReadOnlyList<PackageContents> packages)
    {
        StringBuilder status = new();
        foreach (PackageContents package in packages)
        {
            string name = package.Control["Package"];
            bool isPerArchitecture = package.Control.GetValueOrDefault("Multi-Arch") == "same";
            status.Append(package.ControlText.TrimEnd('\n')).Append("\nStatus: install ok installed\n\n");
            tree.AddText(
                $"var/lib/dpkg/info/{name}{(isPerArchitecture ? ":" + package.Control.GetValueOrDefault("Architecture") : "")}.list",
                string.Concat(package.Paths.Select(path => path + "\n")));
        }

        tree.AddText("var/lib/dpkg/status", status.ToString());
        tree.AddText("var/lib/dpkg/available", "");
        tree.AddDirectory("var/lib/dpkg/updates");
    }

    private static async Task WriteAsync(FileTree tree, string path, bool isCompressed, CancellationToken cancellationToken)
    {
        if (!isCompressed)
        {
            await CpioWriter.WriteAsync(tree, path, cancellationToken).ConfigureAwait(false);
            return;
        }

        FileStream output = new(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 20);
        await using (output.ConfigureAwait(false))
        {
            GZipStream compressed = new(output, CompressionLevel.Fastest, leaveOpen: true);
            await using (compressed.ConfigureAwait(false))
            {
                await CpioWriter.WriteAsync(tree, compressed, cancellationToken).ConfigureAwait(false);
            }
        }
    }
}
