using System.Security.Cryptography;
using System.Text;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Kernels;

/// <summary>
/// Archives with the kernel modules that a guest of ours needs: the PV drivers and the usual file systems, with
/// what they depend on, uncompressed, and the lists that <c>modprobe</c> reads.
/// </summary>
public sealed class ModuleArchive
{
    private const string Format = "2";

    private readonly GuestCache _cache;

    /// <summary>Creates the builder.</summary>
    /// <param name="cache">Where the archives are kept.</param>
    public ModuleArchive(GuestCache cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        _cache = cache;
    }

    /// <summary>
    /// The modules of the default guest. Those a kernel has built in, or has not at all (cloud kernels have no 9p),
    /// are passed over.
    /// </summary>
    public static IReadOnlyList<string> DefaultModules { get; } =
    [
        "xen-blkfront", "xen-netfront", "9p", "9pnet_xen", "xenfs", "xen-evtchn", "xen-gntdev",
        "ext4", "overlay", "squashfs", "isofs", "vfat", "nls_iso8859-1", "nls_cp437", "nls_ascii", "nls_utf8", "loop", "fuse",
        "crc32c_generic", "snd_xen_front",
    ];

    /// <summary>Returns the archive for a kernel, which is made once and kept.</summary>
    /// <exception cref="GuestBuildException">It cannot be made; the message says why in one line.</exception>
    public Task<string> GetAsync(Kernel kernel, IProgress<GuestProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        return GetAsync(kernel, DefaultModules, progress, cancellationToken);
    }

    /// <summary>Returns the archive for a kernel with the given modules and what they depend on.</summary>
    /// <exception cref="GuestBuildException">It cannot be made; the message says why in one line.</exception>
    public async Task<string> GetAsync(
        Kernel kernel, IReadOnlyList<string> modules, IProgress<GuestProgress>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        ArgumentNullException.ThrowIfNull(modules);
        byte[] key = Encoding.UTF8.GetBytes(Format + "\0" + string.Join('\0', modules));
        string name = $"modules-{kernel.Release}-{Convert.ToHexStringLower(SHA256.HashData(key))[..16]}.cpio";
        if (_cache.Find("images", name) is string present)
        {
            return present;
        }

        string path = _cache.PathOf("images", name);

        using IDisposable cacheLock = await _cache.LockAsync(progress, cancellationToken).ConfigureAwait(false);
        if (!File.Exists(path))
        {
            progress?.Report(new GuestProgress($"Collecting the modules of kernel {kernel.Release}"));
            FileTree tree = await CreateTreeAsync(kernel, modules, cancellationToken).ConfigureAwait(false);
            string temporary = _cache.NewTemporaryPath();
            await CpioWriter.WriteAsync(tree, temporary, cancellationToken).ConfigureAwait(false);
            GuestCache.PublishFile(temporary, path);
        }

        return path;
    }

    /// <summary>Collects the modules, and writes the lists as depmod(8) would.</summary>
    internal static async Task<FileTree> CreateTreeAsync(
        Kernel kernel, IReadOnlyList<string> wanted, CancellationToken cancellationToken)
    {
        Dictionary<string, string> files = IndexModules(kernel.ModulesPath);
        Dictionary<string, Loaded> chosen = new(StringComparer.Ordinal);
        Queue<string> open = new(wanted.Select(KernelModule.NormalizeName));
        while (open.TryDequeue(out string? name))
        {
            if (chosen.ContainsKey(name) || !files.TryGetValue(name, out string? file))
            {
                continue;
            }

            byte[] content = await ReadAsync(file, cancellationToken).ConfigureAwait(false);
            KernelModule module;
            try
            {
                module = KernelModule.Parse(content);
            }
            catch (InvalidDataException error)
            {
                throw new GuestBuildException($"the kernel module {file} cannot be read: {error.Message}", error);
            }

            string place = Path.GetRelativePath(kernel.ModulesPath, file);
            chosen[name] = new Loaded(place[..(place.IndexOf(".ko", StringComparison.Ordinal) + 3)], content, module);
            foreach (string needed in module.Dependencies.Concat(module.SoftDependencies))
            {
                open.Enqueue(needed);
            }
        }

        // Below usr/lib, because /lib is a link there in every guest of ours and a folder "lib" would replace it.
        FileTree tree = new();
        string root = $"usr/lib/modules/{kernel.Release}/";
        foreach (Loaded module in chosen.Values)
        {
            tree.Add(root + module.Place, new FileNode { Kind = FileKind.Regular, Permissions = 0b110_100_100, Content = module.Content });
        }

        tree.AddText(root + "modules.dep", string.Concat(chosen.Keys.Order(StringComparer.Ordinal).Select(name => DependencyLine(name, chosen))));
        tree.AddText(root + "modules.alias", string.Concat(chosen.OrderBy(pair => pair.Key, StringComparer.Ordinal)
            .SelectMany(pair => pair.Value.Module.Aliases.Select(alias => $"alias {alias} {pair.Key}\n"))));
        tree.AddText(root + "modules.softdep", string.Concat(chosen.OrderBy(pair => pair.Key, StringComparer.Ordinal)
            .Where(pair => pair.Value.Module.SoftDependencies.Any(chosen.ContainsKey))
            .Select(pair => $"softdep {pair.Key} pre: {string.Join(' ', pair.Value.Module.SoftDependencies.Where(chosen.ContainsKey))}\n")));
        string builtIn = Path.Combine(kernel.ModulesPath, "modules.builtin");
        if (File.Exists(builtIn))
        {
            tree.AddFile(root + "modules.builtin", builtIn);
        }

        return tree;
    }

    private static Dictionary<string, string> IndexModules(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new GuestBuildException($"there are no kernel modules in {folder}");
        }

        Dictionary<string, string> files = new(StringComparer.Ordinal);
        foreach (string file in Directory.EnumerateFiles(folder, "*.ko*", SearchOption.AllDirectories))
        {
            files[KernelModule.NormalizeName(Path.GetFileName(file).Split('.')[0])] = file;
        }

        return files;
    }

    private static async Task<byte[]> ReadAsync(string file, CancellationToken cancellationToken)
    {
        string? tool = Path.GetExtension(file) switch
        {
            ".xz" => "xz",
            ".zst" => "zstd",
            ".gz" => "gzip",
            _ => null,
        };
        if (tool is null)
        {
            return await File.ReadAllBytesAsync(file, cancellationToken).ConfigureAwait(false);
        }

        using MemoryStream content = new();
        await Tool.StreamAsync(tool, ["-dc", file], stream => stream.CopyToAsync(content, cancellationToken), cancellationToken)
            .ConfigureAwait(false);
        return content.ToArray();
    }

    private static string DependencyLine(string name, Dictionary<string, Loaded> chosen)
    {
        // All that has to be loaded before, the last to load first.
        List<string> needed = [];
        Collect(name);
        return $"{chosen[name].Place}:{string.Concat(needed.Select(place => " " + place))}\n";

        void Collect(string module)
        {
            foreach (string dependency in chosen[module].Module.Dependencies.Where(chosen.ContainsKey))
            {
                string place = chosen[dependency].Place;
                needed.Remove(place);
                needed.Add(place);
                Collect(dependency);
            }
        }
    }

    private sealed record Loaded(string Place, byte[] Content, KernelModule Module);
}
