using System.Globalization;
using CooperativeLinux.Bench.Compare;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Bench.Block;

/// <summary><c>block</c>: the same program on a file of the host and, with that file as their disk, in guests.</summary>
internal sealed class BlockCommand(BlockOptions options, TextWriter output, TextWriter progress)
{
    private const string Nothing = "-";
    private const int MemoryMiB = 256;
    private static readonly string[] s_virtioModules = ["virtio_pci", "virtio_blk"];

    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync()
    {
        string folder = Directory.CreateTempSubdirectory("colinux-bench-").FullName;
        string disk = Path.Combine(options.Folder, $"colinux-bench-{Environment.ProcessId}.img");
        try
        {
            return await RunInAsync(folder, disk).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
            File.Delete(disk);
        }
    }

    private async Task<int> RunInAsync(string folder, string disk)
    {
        string program = Path.Combine(folder, "block");
        await RunAsync("the compiler", ["gcc", "-O2", "-Wall", "-static", Path.Combine(options.Sources, "block.c"), "-o", program]).ConfigureAwait(false);
        progress.WriteLine($"making {disk}");
        await FillAsync(disk).ConfigureAwait(false);
        (Kernel kernel, string initrd) = await MakeGuestAsync(folder, program).ConfigureAwait(false);

        List<(string Title, string[] Command)> works =
        [
            ("host, direct", [program, disk, "direct", Seconds]),
            ("host, cached", [program, disk, "cached", Seconds]),
            ("colinux",
            [
                options.Colinux, "run", "--kernel", kernel.VmlinuzPath, "--initrd", initrd, "--memory", $"{MemoryMiB}M", "--disk", disk, "--append", "device=xvda",
            ]),
        ];
        if (Peer.Find("qemu-system-x86_64") is string qemu)
        {
            works.Add(("QEMU TCG",
            [
                qemu, "-accel", "tcg", "-cpu", "max", "-M", "pc", "-m", $"{MemoryMiB}", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
                "-no-reboot", "-kernel", kernel.VmlinuzPath, "-initrd", initrd, "-append", "console=ttyS0 quiet device=vda",
                "-object", "iothread,id=disk", "-drive", $"file={disk},format=raw,if=none,id=d,cache=writeback", "-device", "virtio-blk-pci,drive=d,iothread=disk",
            ]));
        }
        else
        {
            progress.WriteLine("QEMU is left out: not installed (Debian: qemu-system-x86)");
        }

        List<(string Title, Dictionary<string, double> Speeds)> columns = [.. works.Select(work => (work.Title, new Dictionary<string, double>()))];
        for (int round = 1; round <= options.Rounds; round++)
        {
            foreach (((string title, string[] command), (_, Dictionary<string, double> best)) in works.Zip(columns))
            {
                progress.WriteLine($"round {round}: {title}");
                foreach ((string name, double speed) in Parse(title, await RunAsync(title, command).ConfigureAwait(false)))
                {
                    best[name] = Math.Max(best.GetValueOrDefault(name), speed);
                }
            }
        }

        TextTable table = MakeTable(columns);
        string description = string.Create(CultureInfo.InvariantCulture, $"""
            {DateTime.Now:yyyy-MM-dd}, made by: bench/run block
            {HostDescription.Create()}
            MiB/s of a disk of {options.Size} MiB in a file; kind of access, size of a request, requests in flight; direct I/O in the guests; the fastest of {options.Rounds} times {options.Seconds} s; Debian kernel {kernel.Release}
            """);
        output.WriteLine(description);
        output.WriteLine();
        output.WriteLine(table);
        if (options.MarkdownPath != null)
        {
            string list = string.Join('\n', description.Split('\n').Select(line => "- " + line.TrimEnd()));
            await File.WriteAllTextAsync(options.MarkdownPath, $"{list}\n\n{table.ToMarkdown()}").ConfigureAwait(false);
        }

        return 0;
    }

    private string Seconds => options.Seconds.ToString(CultureInfo.InvariantCulture);

    private static TextTable MakeTable(List<(string Title, Dictionary<string, double> Speeds)> columns)
    {
        Dictionary<string, double> colinux = columns.First(column => column.Title == "colinux").Speeds;
        Dictionary<string, double> direct = columns[0].Speeds;
        Dictionary<string, double> cached = columns[1].Speeds;
        Dictionary<string, double>? qemu = columns.FirstOrDefault(column => column.Title.StartsWith("QEMU", StringComparison.Ordinal)).Speeds;
        TextTable table = new(["work", .. columns.Select(column => column.Title), "to direct", "to cached", "to QEMU"]);
        foreach ((string name, double speed) in colinux)
        {
            table.Add(
            [
                name, .. columns.Select(column => column.Speeds.TryGetValue(name, out double value) ? value.ToString("F1", CultureInfo.InvariantCulture) : Nothing),
                Ratio(direct), Ratio(cached), Ratio(qemu),
            ]);

            string Ratio(Dictionary<string, double>? other) =>
                other?.TryGetValue(name, out double value) == true && value > 0 ? (speed / value).ToString("F2", CultureInfo.InvariantCulture) : Nothing;
        }

        return table;
    }

    private static Dictionary<string, double> Parse(string title, ConsoleRun run)
    {
        Dictionary<string, double> speeds = [];
        foreach (ConsoleLine line in run.Lines)
        {
            if (line.Text.Split(' ') is [string name, string value] && name.Count(c => c == '-') == 3
                && double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double speed))
            {
                speeds[name] = speed;
            }
        }

        return speeds.Count == 24 ? speeds : throw new BenchException($"{title}: {speeds.Count} of 24 measurements\n{run.Tail()}");
    }

    private async Task<(Kernel Kernel, string Initrd)> MakeGuestAsync(string folder, string program)
    {
        GuestCache cache = GuestCache.ForUser();
        using GuestProgressLine? line = GuestProgressLine.ForStandardError();
        Kernel kernel = await new KernelStore(cache).GetAsync(options.Kernel, line).ConfigureAwait(false);
        string baseArchive = await new DefaultGuest(cache).GetBaseAsync(line).ConfigureAwait(false);
        string modules = await new ModuleArchive(cache).GetAsync(kernel, [.. ModuleArchive.DefaultModules, .. s_virtioModules], line, CancellationToken.None).ConfigureAwait(false);
        FileTree files = new();
        files.AddFile("colinux/block", program, 0b111_101_101);
        string added = Path.Combine(folder, "script.cpio");
        await GuestScript.WriteAsync(
            added,
            $"""
            for module in {string.Join(' ', s_virtioModules)}; do modprobe -q $module; done
            read -r words < /proc/cmdline
            for word in $words; do case $word in device=*) device=/dev/$(echo $word | cut -c8-);; esac; done
            exec /colinux/block $device direct {Seconds}
            """,
            files).ConfigureAwait(false);
        string initrd = Path.Combine(folder, "initrd.cpio");
        await using FileStream all = File.Create(initrd);
        foreach (string part in (string[])[baseArchive, modules, added])
        {
            await using FileStream input = File.OpenRead(part);
            await input.CopyToAsync(all).ConfigureAwait(false);
        }

        return (kernel, initrd);
    }

    private async Task<ConsoleRun> RunAsync(string title, IReadOnlyList<string> command)
    {
        ConsoleRun run = await ConsoleRun.RunAsync(command, TimeSpan.FromSeconds(options.TimeoutSeconds)).ConfigureAwait(false);
        return run.ExitCode == 0 && !run.TimedOut ? run : throw new BenchException($"{title} failed (exit code {run.ExitCode})\n{run.Tail()}");
    }

    /// <summary>Real data, so that no host takes holes for them.</summary>
    private async Task FillAsync(string disk)
    {
        byte[] block = new byte[1 << 20];
        Random random = new(1);
        await using FileStream file = File.Create(disk);
        for (int i = 0; i < options.Size; i++)
        {
            random.NextBytes(block);
            await file.WriteAsync(block).ConfigureAwait(false);
        }

        file.Flush(flushToDisk: true);
    }
}
