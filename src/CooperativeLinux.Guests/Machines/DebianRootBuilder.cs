using System.Formats.Tar;
using System.Text;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Machines;

/// <summary>
/// Prepares the installation of Debian on a disk. No rights of root are needed, because the installation runs inside a guest, which
/// has them there: it makes the file system, unpacks the essential packages, and lets their own dpkg and apt install all.
/// Here the packages are chosen and fetched, and the guest is put together (docs/machines.md).
/// </summary>
public sealed class DebianRootBuilder
{
    private const string PackagesFolder = "packages", FilesFolder = "files";

    // What makes an installation a machine one can live in, beside what Debian calls essential and required.
    private static readonly string[] BasicPackages =
    [
        "usr-is-merged", "apt", "systemd-sysv", "libpam-systemd", "dbus", "udev", "kmod", "systemd-resolved", "libnss-resolve",
        "systemd-timesyncd", "iproute2", "iputils-ping", "netbase", "ca-certificates", "procps", "less", "nano", "e2fsprogs",
        "initramfs-tools", "zstd", "whiptail",
    ];

    private readonly GuestCache _cache;

    /// <param name="cache">Where packages and images are kept.</param>
    public DebianRootBuilder(GuestCache cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        _cache = cache;
    }

    /// <summary>Chooses and fetches all that the installation needs.</summary>
    /// <param name="options">What to install.</param>
    /// <param name="workFolder">Receives the files of this installation; the caller's.</param>
    /// <param name="progress">Told what is going on, or null.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="GuestBuildException">Something cannot be had; the message says what in one line.</exception>
    public async Task<DebianRootInstallation> PrepareAsync(
        DebianRootOptions options, string workFolder, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);

        // The guest that does the work: the usual kernel, and the tools of the machine's own release.
        Kernel kernel = await new KernelStore(_cache).GetAsync(KernelFlavour.Generic61, progress, cancellationToken).ConfigureAwait(false);
        string modules = await new ModuleArchive(_cache).GetAsync(kernel, progress, cancellationToken).ConfigureAwait(false);
        string tools = await new RootImageBuilder(_cache)
            .GetAsync(new RootImageOptions { Packages = ["dpkg", "e2fsprogs", "mount", "util-linux"] }, progress, cancellationToken).ConfigureAwait(false);

        AptSourceChoice sources = AptSourceChoice.OfRelease(options.Release, options.Mirror);
        IReadOnlyList<string> essential;
        IReadOnlyList<string> all;
        IReadOnlyList<string> files;
        string[] wanted = [.. BasicPackages, .. KernelPackages(options.Packages), .. options.Packages];
        using (await _cache.LockAsync(progress, cancellationToken).ConfigureAwait(false))
        {
            AptWorkspace apt = new(_cache, sources, $"apt-{options.Release}");
            await apt.PrepareAsync(isListRenewed: false, progress, cancellationToken).ConfigureAwait(false);
            progress?.Report(new GuestProgress("Choosing packages"));
            essential = await apt.ResolveAsync(["?essential", "usr-is-merged"], cancellationToken).ConfigureAwait(false);
            all = await apt.ResolveAsync(["?essential", "?priority(required)", .. wanted], cancellationToken).ConfigureAwait(false);
            files = await apt.DownloadAsync(all, _cache.PathOf("packages"), progress, cancellationToken).ConfigureAwait(false);
        }

        progress?.Report(new GuestProgress("Preparing the installation"));
        Dictionary<string, string> places = all.Zip(files).ToDictionary(pair => NameOf(pair.First), pair => Path.GetFileName(pair.Second));
        FileTree tree = DebianRootFiles.Create(options, await sources.ReadAsync(cancellationToken).ConfigureAwait(false));
        string archive = Path.Combine(workFolder, "packages.tar");
        await WriteArchiveAsync(
            archive,
            files,
            new Dictionary<string, string>
            {
                ["essential"] = Lines(essential.Select(package => places[NameOf(package)])),
                ["automatic"] = Lines(all.Select(NameOf).Except(wanted)),
            },
            tree,
            cancellationToken).ConfigureAwait(false);
        string script = Path.Combine(workFolder, "script.cpio");
        await GuestScript.WriteAsync(script, InitLayer.Script("install-debian.sh"), cancellationToken: cancellationToken).ConfigureAwait(false);
        return new DebianRootInstallation(kernel.VmlinuzPath, [tools, modules, script], archive, all.Count, essential.Count);
    }

    /// <summary>The kernel to install beside the wanted packages: Debian's usual one, unless they name one.</summary>
    internal static IEnumerable<string> KernelPackages(IReadOnlyList<string> packages) =>
        packages.Any(name => name.StartsWith("linux-image-", StringComparison.Ordinal)) ? [] : ["linux-image-amd64"];

    private static string NameOf(string package) => package.Split('=', ':')[0];

    private static string Lines(IEnumerable<string> lines) => string.Concat(lines.Select(line => line + "\n"));

    /// <summary>Writes a tar archive that the guest reads straight from a disk.</summary>
    private static async Task WriteArchiveAsync(
        string path,
        IReadOnlyList<string> packages,
        Dictionary<string, string> lists,
        FileTree tree,
        CancellationToken cancellationToken)
    {
        TarWriter writer = new(File.Create(path), TarEntryFormat.Ustar, leaveOpen: false);
        await using (writer.ConfigureAwait(false))
        {
            foreach ((string name, string text) in lists)
            {
                await WriteTextAsync(name, Encoding.UTF8.GetBytes(text), 0b110_100_100).ConfigureAwait(false);
            }

            foreach ((string name, FileNode node) in tree.Entries)
            {
                await WriteNodeAsync($"{FilesFolder}/{name}", node).ConfigureAwait(false);
            }

            foreach (string package in packages)
            {
                await writer.WriteEntryAsync(package, $"{PackagesFolder}/{Path.GetFileName(package)}", cancellationToken).ConfigureAwait(false);
            }
        }

        // The guest sees a disk, which has whole sectors.
        using FileStream archive = File.OpenWrite(path);
        archive.SetLength((archive.Length + 4095) & -4096);

        async Task WriteNodeAsync(string name, FileNode node)
        {
            switch (node.Kind)
            {
                case FileKind.Directory:
                    await writer.WriteEntryAsync(new UstarTarEntry(TarEntryType.Directory, name + "/") { Mode = (UnixFileMode)node.Permissions }, cancellationToken).ConfigureAwait(false);
                    break;
                case FileKind.SymbolicLink:
                    await writer.WriteEntryAsync(new UstarTarEntry(TarEntryType.SymbolicLink, name) { LinkName = node.Target! }, cancellationToken).ConfigureAwait(false);
                    break;
                default:
                    await WriteTextAsync(name, node.Content, node.Permissions).ConfigureAwait(false);
                    break;
            }
        }

        async Task WriteTextAsync(string name, ReadOnlyMemory<byte> content, int permissions)
        {
            UstarTarEntry entry = new(TarEntryType.RegularFile, name)
            {
                Mode = (UnixFileMode)permissions,
                DataStream = new MemoryStream(content.ToArray(), writable: false),
            };
            await writer.WriteEntryAsync(entry, cancellationToken).ConfigureAwait(false);
        }
    }
}
