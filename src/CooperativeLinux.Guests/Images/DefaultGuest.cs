using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Images;

/// <summary>
/// The small guest that is started when nothing else is asked for: Debian's busybox with a shell on the console.
/// Its initramfs is made once, without root, and kept in the cache.
/// </summary>
public sealed class DefaultGuest
{
    private const string Greeting =
        "\nThis is Cooperative Linux: a stock Debian kernel in an ordinary process.\n"
        + "Leave with 'exit'; the guest is then switched off.\n\n";

    private readonly GuestCache _cache;
    private readonly AptSourceChoice _sources;

    /// <summary>Creates the builder.</summary>
    /// <param name="cache">Where images are kept.</param>
    /// <param name="sources">Where packages come from, or null for the machine's apt sources.</param>
    public DefaultGuest(GuestCache cache, AptSourceChoice? sources = null)
    {
        ArgumentNullException.ThrowIfNull(cache);
        _cache = cache;
        _sources = sources ?? AptSourceChoice.OfMachine;
    }

    /// <summary>The archives that make up the initramfs for a kernel, to be given to it one after the other.</summary>
    /// <exception cref="GuestBuildException">They cannot be made; the message says why in one line.</exception>
    public async Task<IReadOnlyList<string>> GetInitrdsAsync(
        Kernel kernel, IProgress<GuestProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        return
        [
            await GetBaseAsync(progress, cancellationToken).ConfigureAwait(false),
            await new ModuleArchive(_cache).GetAsync(kernel, progress, cancellationToken).ConfigureAwait(false),
        ];
    }

    /// <summary>The archive without kernel modules, which fits every kernel.</summary>
    /// <exception cref="GuestBuildException">It cannot be made; the message says why in one line.</exception>
    public async Task<string> GetBaseAsync(
        IProgress<GuestProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        string name = $"default-{InitLayer.Fingerprint(Greeting)}.cpio";
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

        AptWorkspace apt = new(_cache, _sources);
        await apt.PrepareAsync(isListRenewed: false, progress, cancellationToken).ConfigureAwait(false);
        Busybox busybox = await Busybox.GetAsync(apt, _cache.NewTemporaryPath(), progress, cancellationToken).ConfigureAwait(false);
        progress?.Report(new GuestProgress("Building the default guest"));
        string temporary = _cache.NewTemporaryPath();
        await CpioWriter.WriteAsync(CreateTree(busybox), temporary, cancellationToken).ConfigureAwait(false);
        GuestCache.PublishFile(temporary, path);
        return path;
    }

    /// <summary>Lists the files of the guest.</summary>
    internal static FileTree CreateTree(Busybox busybox)
    {
        FileTree tree = new();
        InitLayer.AddSkeleton(tree);
        InitLayer.AddInit(tree, busybox.Path, busybox.Applets);
        foreach (string applet in busybox.Applets)
        {
            // dpkg and rpm without their databases would only mislead; init must not replace our own.
            if (Path.GetFileName(applet) is not ("dpkg" or "dpkg-deb" or "rpm" or "init" or "linuxrc") && !tree.Exists(applet))
            {
                tree.AddLink(applet, "/colinux/busybox");
            }
        }

        tree.AddText("etc/motd", Greeting);
        return tree;
    }
}
