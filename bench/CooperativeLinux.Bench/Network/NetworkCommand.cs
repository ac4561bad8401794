using System.Globalization;
using CooperativeLinux.Bench.Compare;
using CooperativeLinux.Guests;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;
using CompareOptions = CooperativeLinux.Bench.Compare.CompareOptions;

namespace CooperativeLinux.Bench.Network;

/// <summary><c>net</c>: how fast guests on a user network talk to a server on the host, ours and QEMU's in one run.</summary>
internal sealed class NetworkCommand(CompareOptions options, TextWriter output, TextWriter progress)
{
    private const string Host = "10.0.2.2";

    // What is measured, with its unit, and whether more is better.
    private static readonly (string Name, string Title, bool IsRate)[] s_lines =
    [
        ("send", "guest to host, Gbit/s", true),
        ("receive", "host to guest, Gbit/s", true),
        ("echo", "round trip of one byte, µs", false),
        ("connect", "connection with one byte each way, µs", false),
    ];

    private readonly Dictionary<string, int> _ports = new()
    {
        ["send"] = TransferServer.Sink().Port,
        ["receive"] = TransferServer.Source().Port,
        ["echo"] = TransferServer.Echo().Port,
        ["connect"] = TransferServer.Echo().Port,
    };

    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync()
    {
        string folder = Directory.CreateTempSubdirectory("colinux-bench-").FullName;
        try
        {
            return await RunInAsync(folder).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task<int> RunInAsync(string folder)
    {
        string program = Path.Combine(folder, "transfer");
        await Workloads.RunAsync("gcc", ["-O2", "-Wall", "-static", Path.Combine(options.Workloads, "network", "transfer.c"), "-o", program]).ConfigureAwait(false);
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(options.Kernel).ConfigureAwait(false);
        string baseArchive = await new DefaultGuest(cache).GetBaseAsync().ConfigureAwait(false);
        string modules = await new ModuleArchive(cache).GetAsync(kernel, ["xen-netfront", "virtio_pci", "virtio_net"], null, CancellationToken.None).ConfigureAwait(false);

        Dictionary<string, Dictionary<string, double>> results = [];
        foreach (Peer peer in Peer.All(options).Where(peer => peer.Name != "uml" && (options.Only.Count == 0 || options.Only.Contains(peer.Name))))
        {
            if (peer.Program == null)
            {
                progress.WriteLine($"{peer.Title} is left out: not installed ({peer.Package})");
                continue;
            }

            progress.WriteLine($"{peer.Title}: network");
            string initrd = Path.Combine(folder, "initrd.cpio");
            await WriteInitrdAsync(initrd, [baseArchive, modules], program).ConfigureAwait(false);
            results.Add(peer.Name, await MeasureAsync(peer, kernel, initrd).ConfigureAwait(false));
        }

        TextTable table = Table(results);
        output.WriteLine($"{DateTime.Now:yyyy-MM-dd}, made by: bench/run net {options.Reproduce}");
        output.WriteLine(HostDescription.Create());
        output.WriteLine($"guests: {options.Memory} MiB, Debian kernel {kernel.Release}, one TCP connection to a server on the host's loopback; fastest of {options.Repetitions}");
        output.WriteLine();
        output.WriteLine(table);
        if (options.MarkdownPath != null)
        {
            await File.WriteAllTextAsync(options.MarkdownPath, table.ToMarkdown()).ConfigureAwait(false);
        }

        return 0;
    }

    private static TextTable Table(Dictionary<string, Dictionary<string, double>> results)
    {
        TextTable table = new(["network", .. results.Keys, .. results.Count == 2 ? (string[])["ratio"] : []]);
        foreach ((string name, string title, bool isRate) in s_lines)
        {
            double[] values = [.. results.Values.Select(result => result[name])];
            string[] ratio = values.Length == 2 ? [Text(isRate ? values[0] / values[1] : values[1] / values[0])] : [];
            table.Add([title, .. values.Select(Text), .. ratio]);
        }

        return table;

        static string Text(double value) => value.ToString(value < 100 ? "0.00" : "0", CultureInfo.InvariantCulture);
    }

    private async Task<Dictionary<string, double>> MeasureAsync(Peer peer, Kernel kernel, string initrd)
    {
        string[] network = peer.Name == "qemu" ? ["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"] : [];
        IReadOnlyList<string> command = [peer.Program!, .. peer.Command(new GuestStart(kernel.VmlinuzPath, initrd, options.Memory)), .. network];
        ConsoleRun run = await ConsoleRun.RunAsync(command, TimeSpan.FromSeconds(options.TimeoutSeconds)).ConfigureAwait(false);
        string console = string.Join('\n', run.Lines.Select(line => line.Text)) + "\n";
        if (GuestScript.Parse(console) is not (_, 0))
        {
            throw new BenchException($"{peer.Title}: the guest failed\n{run.Tail()}");
        }

        Dictionary<string, double> best = [];
        foreach ((string name, _, bool isRate) in s_lines)
        {
            IEnumerable<double> values = run.Lines
                .Where(line => line.Text.StartsWith(name + " ", StringComparison.Ordinal))
                .Select(line => double.Parse(line.Text[(name.Length + 1)..], CultureInfo.InvariantCulture));
            best.Add(name, isRate ? values.Max() : values.Min());
        }

        return best;
    }

    private async Task WriteInitrdAsync(string path, string[] archives, string program)
    {
        FileTree files = new();
        files.AddFile("colinux/transfer", program, 0b111_101_101);
        string added = path + ".script";
        await GuestScript.WriteAsync(added, Script(), files).ConfigureAwait(false);
        await using FileStream stream = File.Create(path);
        foreach (string part in (string[])[.. archives, added])
        {
            await using FileStream input = File.OpenRead(part);
            await input.CopyToAsync(stream).ConfigureAwait(false);
        }
    }

    private string Script()
    {
        string seconds = options.Seconds.ToString(CultureInfo.InvariantCulture);
        string[] runs =
        [
            .. Enumerable.Range(0, options.Repetitions).SelectMany(_ => s_lines.Select(line =>
                $"/colinux/transfer {line.Name} {Host} {_ports[line.Name]} {seconds} || exit 1")),
        ];
        return $"""
            if [ ! -d /sys/class/net/eth0 ]; then
                modprobe virtio_pci; modprobe virtio_net
                ip link set eth0 up
                udhcpc -i eth0 -s /colinux/udhcpc.sh -q -n -t 10 -T 1 > /dev/null 2>&1 || exit 1
            fi
            {string.Join('\n', runs)}
            """;
    }
}
