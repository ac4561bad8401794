using System.Globalization;
using CooperativeLinux.Bench.Compare;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Bench.Block;

/// <summary><c>block</c>: Debian's fio on a file of the host and, with that file as their disk, in guests.</summary>
internal sealed class BlockCommand(BlockOptions options, TextWriter output, TextWriter progress)
{
    private const string Direct = "host, direct", Cached = "host, cached", Ours = "colinux", Qemu = "QEMU TCG";

    // fio's libraries take 80 MiB in the initramfs.
    private const int MemoryMiB = 512;
    private const string GuestFolder = "colinux/fio";
    private static readonly string[] s_virtioModules = ["virtio_pci", "virtio_blk"];

    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync()
    {
        string fio = Peer.Find("fio") ?? throw new BenchException("fio is needed (Debian: apt install fio)");
        string folder = Directory.CreateTempSubdirectory("colinux-bench-").FullName;
        string disk = Path.Combine(options.Folder, $"colinux-bench-{Environment.ProcessId}.img");
        try
        {
            return await RunInAsync(fio, folder, disk).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
            File.Delete(disk);
        }
    }

    private async Task<int> RunInAsync(string fio, string folder, string disk)
    {
        progress.WriteLine($"making {disk}");
        await FillAsync(disk).ConfigureAwait(false);
        (Kernel kernel, string initrd) = await MakeGuestAsync(fio, folder).ConfigureAwait(false);
        string direct = await MakeHostJobsAsync("direct", isDirect: true).ConfigureAwait(false);
        string cached = await MakeHostJobsAsync("cached", isDirect: false).ConfigureAwait(false);
        List<(string Title, string[] Command)> columns =
        [
            (Direct, [fio, .. FioWork.Arguments, direct]),
            (Cached, [fio, .. FioWork.Arguments, cached]),
            (Ours,
            [
                options.Colinux, "run", "--kernel", kernel.VmlinuzPath, "--initrd", initrd, "--memory", $"{MemoryMiB}M", "--disk", disk, "--append", "device=xvda",
            ]),
        ];
        if (Peer.Find("qemu-system-x86_64") is string qemu)
        {
            columns.Add((Qemu,
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

        Dictionary<string, Dictionary<string, double>> speeds = columns.ToDictionary(column => column.Title, _ => new Dictionary<string, double>());
        for (int round = 1; round <= options.Rounds; round++)
        {
            foreach ((string title, string[] command) in columns)
            {
                progress.WriteLine($"round {round}: {title}");
                if (title != Direct)
                {
                    await LoadAsync(disk).ConfigureAwait(false);
                }

                Dictionary<string, double> best = speeds[title];
                foreach ((string name, double speed) in FioWork.Parse(options.Works, title, await RunAsync(title, command).ConfigureAwait(false)))
                {
                    best[name] = Math.Max(best.GetValueOrDefault(name), speed);
                }
            }
        }

        await ReportAsync(speeds, kernel).ConfigureAwait(false);
        return 0;

        async Task<string> MakeHostJobsAsync(string name, bool isDirect)
        {
            string path = Path.Combine(folder, name + ".fio");
            await File.WriteAllTextAsync(path, FioWork.MakeJobs(options.Works, disk, isDirect, options.Seconds)).ConfigureAwait(false);
            return path;
        }
    }

    private async Task ReportAsync(Dictionary<string, Dictionary<string, double>> speeds, Kernel kernel)
    {
        (string Title, string Other)[] ratios = [.. new[] { ("to direct", Direct), ("to cached", Cached), ("to QEMU", Qemu) }.Where(ratio => speeds.ContainsKey(ratio.Item2))];
        TextTable table = new(["work", .. speeds.Keys, .. ratios.Select(ratio => ratio.Title)]);
        foreach (string name in options.Works.Select(work => work.Name))
        {
            table.Add(
            [
                name, .. speeds.Values.Select(column => column[name].ToString("F0", CultureInfo.InvariantCulture)),
                .. ratios.Select(ratio => (speeds[Ours][name] / speeds[ratio.Other][name]).ToString("F2", CultureInfo.InvariantCulture)),
            ]);
        }

        string description = string.Create(CultureInfo.InvariantCulture, $"""
            {DateTime.Now:yyyy-MM-dd}, made by: bench/run block
            {HostDescription.Create()}
            MiB/s of a disk of {options.Size} MiB in a file; kind of access, size of a request, requests in flight; fio with libaio, direct I/O in the guests; the fastest of {options.Rounds} times {options.Seconds} s; Debian kernel {kernel.Release}
            """);
        output.WriteLine(description);
        output.WriteLine();
        output.WriteLine(table);
        if (options.MarkdownPath != null)
        {
            string list = string.Join('\n', description.Split('\n').Select(line => "- " + line.TrimEnd()));
            await File.WriteAllTextAsync(options.MarkdownPath, $"{list}\n\n{table.ToMarkdown()}").ConfigureAwait(false);
        }
    }

    private async Task<(Kernel Kernel, string Initrd)> MakeGuestAsync(string fio, string folder)
    {
        GuestCache cache = GuestCache.ForUser();
        using GuestProgressLine? line = GuestProgressLine.ForStandardError();
        Kernel kernel = await new KernelStore(cache).GetAsync(options.Kernel, line).ConfigureAwait(false);
        string baseArchive = await new DefaultGuest(cache).GetBaseAsync(line).ConfigureAwait(false);
        string modules = await new ModuleArchive(cache).GetAsync(kernel, [.. ModuleArchive.DefaultModules, .. s_virtioModules], line, CancellationToken.None).ConfigureAwait(false);
        string programs = Path.Combine(folder, "fio");
        await DynamicProgram.CopyAsync(fio, programs).ConfigureAwait(false);
        FileTree files = new();
        foreach (string file in Directory.EnumerateFiles(programs))
        {
            files.AddFile($"{GuestFolder}/{Path.GetFileName(file)}", file, 0b111_101_101);
        }

        foreach (string device in (string[])["xvda", "vda"])
        {
            files.AddText($"{GuestFolder}/{device}.fio", FioWork.MakeJobs(options.Works, $"/dev/{device}", isDirect: true, options.Seconds));
        }

        string added = Path.Combine(folder, "script.cpio");
        await GuestScript.WriteAsync(
            added,
            $"""
            for module in {string.Join(' ', s_virtioModules)}; do modprobe -q $module; done
            read -r words < /proc/cmdline
            for word in $words; do case $word in device=*) device=$(echo $word | cut -c8-);; esac; done
            cd /{GuestFolder}
            exec ./{DynamicProgram.Loader} --library-path . ./fio {string.Join(' ', FioWork.Arguments)} $device.fio
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

    /// <summary>Brings the file into the host's memory, where the measurement before may have dropped it.</summary>
    private static async Task LoadAsync(string disk)
    {
        await using FileStream file = new(disk, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0, FileOptions.RandomAccess);
        byte[] block = new byte[1 << 20];
        while (await file.ReadAsync(block).ConfigureAwait(false) > 0)
        {
        }
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
