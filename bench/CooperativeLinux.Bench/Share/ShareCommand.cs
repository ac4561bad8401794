using System.Globalization;
using CooperativeLinux.Bench.Compare;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Bench.Share;

/// <summary><c>share</c>: the same work on a host folder by the host itself, by our guest through its share, and by QEMU's through its 9p.</summary>
internal sealed class ShareCommand(ShareBenchOptions options, TextWriter output, TextWriter progress)
{
    private const string Script = "colinux/share.sh";
    private const string Mount = "/mnt/work";
    private const string Native = "native", Ours = "colinux", Qemu = "QEMU TCG";
    private const int Memory = 1024;

    // The same message size and cache mode on both sides.
    private const string MountOptions = "version=9p2000.L,msize=262144,cache=mmap";

    /// <returns>The exit code: 1 if a guest failed.</returns>
    public async Task<int> RunAsync()
    {
        string top = Directory.CreateTempSubdirectory("colinux-bench-").FullName;
        string shared = options.Folder is null ? Path.Combine(top, "shared") : Path.Combine(options.Folder, Path.GetFileName(top));
        try
        {
            Directory.CreateDirectory(shared);
            progress.WriteLine($"making {options.Files} files");
            await PrepareAsync(shared).ConfigureAwait(false);
            return await RunInAsync(top, shared).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(top, recursive: true);
            if (Directory.Exists(shared))
            {
                Directory.Delete(shared, recursive: true);
            }
        }
    }

    private static async Task<ConsoleRun> MustAsync(IReadOnlyList<string> command, TimeSpan limit)
    {
        ConsoleRun run = await ConsoleRun.RunAsync(command, limit).ConfigureAwait(false);
        return run.ExitCode == 0 && !run.TimedOut ? run : throw new BenchException($"{command[0]} failed\n{run.Tail()}");
    }

    private async Task<int> RunInAsync(string top, string shared)
    {
        GuestCache cache = GuestCache.ForUser();
        using GuestProgressLine? line = GuestProgressLine.ForStandardError();
        Kernel kernel = await new KernelStore(cache).GetAsync(options.Kernel, line).ConfigureAwait(false);
        string image = await new RootImageBuilder(cache).GetAsync(new RootImageOptions { Packages = ["git", "tar", "findutils"] }, line).ConfigureAwait(false);
        string modules = await new ModuleArchive(cache)
            .GetAsync(kernel, [.. ModuleArchive.DefaultModules, "virtio_pci", "9pnet_virtio"], line, CancellationToken.None).ConfigureAwait(false);
        line?.Dispose();

        string script = Path.Combine(options.Workloads, "share.sh");
        string[] arguments = [$"{options.Repetitions}", $"{options.Mebibytes}"];
        Dictionary<string, Dictionary<string, double>> results = new()
        {
            [Native] = Parse(await MustAsync(["sh", script, shared, .. arguments], Limit).ConfigureAwait(false)),
        };
        progress.WriteLine(Ours);
        string initrd = await JoinAsync(top, script, image, modules, "exec").ConfigureAwait(false);
        results[Ours] = Parse(await MustAsync(
            [options.Colinux, "run", "--kernel", kernel.VmlinuzPath, "--initrd", initrd, "--memory", $"{Memory}M", "--share", $"{shared}:work"], Limit).ConfigureAwait(false));
        if (options.WithQemu && Find("qemu-system-x86_64") is string qemu)
        {
            progress.WriteLine(Qemu);
            string mount = $"modprobe virtio_pci; modprobe 9pnet_virtio; modprobe 9p; mkdir -p {Mount}; mount -t 9p -o trans=virtio,{MountOptions} work {Mount} || exit 1; exec";
            initrd = await JoinAsync(top, script, image, modules, mount).ConfigureAwait(false);
            results[Qemu] = Parse(await MustAsync(
                [
                    qemu, "-accel", "tcg", "-cpu", "max", "-M", "pc", "-m", $"{Memory}", "-nodefaults", "-no-user-config", "-display", "none",
                    "-serial", "stdio", "-no-reboot", "-kernel", kernel.VmlinuzPath, "-initrd", initrd, "-append", "console=ttyS0 quiet",
                    "-fsdev", $"local,id=work,path={shared},security_model=none", "-device", "virtio-9p-pci,fsdev=work,mount_tag=work",
                ],
                Limit).ConfigureAwait(false));
        }

        Report(results, kernel);
        return 0;

        async Task<string> JoinAsync(string folder, string scriptPath, string baseArchive, string moduleArchive, string start)
        {
            FileTree files = new();
            files.AddFile(Script, scriptPath, 0b111_101_101);
            string added = Path.Combine(folder, "script.cpio");
            await GuestScript.WriteAsync(added, $"mount -t tmpfs -o size=75% tmp /tmp\n{start} /{Script} {Mount} {string.Join(' ', arguments)}", files).ConfigureAwait(false);
            string joined = Path.Combine(folder, "initrd.cpio");
            await using FileStream target = File.Create(joined);
            foreach (string part in (string[])[baseArchive, moduleArchive, added])
            {
                await using FileStream source = File.OpenRead(part);
                await source.CopyToAsync(target).ConfigureAwait(false);
            }

            return joined;
        }
    }

    private TimeSpan Limit => TimeSpan.FromSeconds(options.TimeoutSeconds);

    private async Task PrepareAsync(string shared)
    {
        string tree = Path.Combine(shared, "tree");
        Random random = new(1);
        for (int i = 0; i < options.Files; i++)
        {
            string folder = Path.Combine(tree, $"d{i / 100 % 10}", $"e{i / 1000}-{i / 100 % 10}");
            Directory.CreateDirectory(folder);
            byte[] content = new byte[random.Next(200, 6000)];
            random.NextBytes(content);
            await File.WriteAllBytesAsync(Path.Combine(folder, $"file{i}.txt"), content).ConfigureAwait(false);
        }

        await MustAsync(["tar", "cf", Path.Combine(shared, "tree.tar"), "-C", shared, "tree"], Limit).ConfigureAwait(false);
        string repository = Path.Combine(shared, "repo");
        Directory.Move(tree, repository);
        await MustAsync(["git", "-C", repository, "init", "-q"], Limit).ConfigureAwait(false);
        await MustAsync(["git", "-C", repository, "add", "."], Limit).ConfigureAwait(false);
        await MustAsync(["git", "-C", repository, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "-m", "all"], Limit).ConfigureAwait(false);
    }

    /// <summary>The fastest repetition of each, in seconds.</summary>
    private static Dictionary<string, double> Parse(ConsoleRun run)
    {
        Dictionary<string, double> seconds = [];
        foreach (ConsoleLine line in run.Lines)
        {
            string[] words = line.Text.Split(' ');
            if (words is ["share", _, _, "ms"] && double.TryParse(words[2], CultureInfo.InvariantCulture, out double value))
            {
                seconds[words[1]] = Math.Min(seconds.GetValueOrDefault(words[1], double.MaxValue), value / 1000);
            }
        }

        return seconds.Count == 10 ? seconds : throw new BenchException($"not all was measured\n{run.Tail()}");
    }

    private void Report(Dictionary<string, Dictionary<string, double>> results, Kernel kernel)
    {
        bool hasQemu = results.ContainsKey(Qemu);
        TextTable table = new(["work", "native s", "colinux s", "to native", .. hasQemu ? (string[])["QEMU s", "QEMU to colinux"] : []]);
        foreach ((string name, double native) in results[Native])
        {
            double ours = results[Ours][name];
            string[] cells = [name, Text(native), Text(ours), Text(ours / Math.Max(native, 0.001))];
            table.Add([.. cells, .. hasQemu ? (string[])[Text(results[Qemu][name]), Text(results[Qemu][name] / Math.Max(ours, 0.001))] : []]);
        }

        string description = $"{options.Files} files of 0.2 to 6 kB, a file of {options.Mebibytes} MiB; fastest of {options.Repetitions}; kernel {kernel.Release}, {MountOptions}";
        output.WriteLine(description);
        output.WriteLine(table);
        if (options.MarkdownPath is not null)
        {
            File.WriteAllText(options.MarkdownPath, $"{description}\n\n{table.ToMarkdown()}");
        }
    }

    private static string Text(double value) => value.ToString(value < 10 ? "0.00" : "0.0", CultureInfo.InvariantCulture);

    private static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
}
