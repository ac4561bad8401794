using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Bench.Compare;

/// <summary>Command line of <c>compare</c>.</summary>
internal sealed record CompareOptions
{
    /// <summary>Starts of the names to measure; empty: all.</summary>
    public List<string> Names { get; } = [];

    public string Workloads { get; private set; } = "";

    public string Colinux { get; private set; } = "";

    /// <summary>The command's Windows build, or empty to leave it out.</summary>
    public string Windows { get; private set; } = "";

    /// <summary>Runs Windows programs.</summary>
    public string WindowsRunner { get; private set; } = "";

    public IReadOnlyList<string> Only { get; private set; } = [];

    public KernelFlavour Kernel { get; private set; } = KernelFlavour.Cloud61;

    /// <summary>MiB.</summary>
    public int Memory { get; private set; } = 512;

    /// <summary>Shortest measured time of one repetition.</summary>
    public double Seconds { get; private set; } = 0.3;

    public int Repetitions { get; private set; } = 3;

    /// <summary>Rounds over the host and the guests; the fastest of each counts.</summary>
    public int Rounds { get; private set; } = 2;

    public int Boots { get; private set; } = 3;

    public int IdleSeconds { get; private set; } = 5;

    public int TimeoutSeconds { get; private set; } = 900;

    public string? MarkdownPath { get; private set; }

    /// <summary>CPU model of QEMU.</summary>
    public string QemuCpu { get; private set; } = "max";

    /// <summary>The words that ask for the same again, without the places of files.</summary>
    public string Reproduce { get; private set; } = "";

    /// <summary>Whether lines of a group (the part of a name before the dot) are wanted.</summary>
    public bool WantsGroup(string group) => Names.Count == 0 || Names.Any(name => Matches(name, group));

    /// <summary>Whether a name asked for lies in a group, or the group begins with it.</summary>
    public static bool Matches(string name, string group) =>
        name.StartsWith(group, StringComparison.Ordinal) || group.StartsWith(name, StringComparison.Ordinal);

    /// <summary>The names without those that are not the suite's.</summary>
    public IEnumerable<string> SuiteNames => Names.Where(name => name is not ("boot" or "idle"));

    /// <exception cref="UsageException">An option is unknown or its value is out of range.</exception>
    public static CompareOptions Parse(ReadOnlySpan<string> arguments)
    {
        CompareOptions options = new();
        OptionReader reader = new(arguments);
        List<string> words = [];
        while (reader.Read())
        {
            string option = reader.Word;
            switch (option)
            {
                case "--workloads": options.Workloads = Path.GetFullPath(reader.Text()); continue;
                case "--colinux": options.Colinux = Path.GetFullPath(reader.Text()); continue;
                case "--windows": options.Windows = Path.GetFullPath(reader.Text()); continue;
                case "--windows-runner": options.WindowsRunner = Path.GetFullPath(reader.Text()); continue;
                case "--markdown": options.MarkdownPath = Path.GetFullPath(reader.Text()); continue;
            }

            switch (reader.Word)
            {
                case "--only": options.Only = reader.Text().Split(','); break;
                case "--kernel":
                    string name = reader.Text();
                    options.Kernel = KernelFlavour.TryParse(name, out KernelFlavour flavour) ? flavour : throw new UsageException($"--kernel: there is no {name}");
                    break;
                case "--qemu-cpu": options.QemuCpu = reader.Text(); break;
                case "--memory": options.Memory = reader.Number(65536); break;
                case "--seconds": options.Seconds = reader.Seconds(60); break;
                case "--repetitions": options.Repetitions = reader.Number(99); break;
                case "--rounds": options.Rounds = reader.Number(99); break;
                case "--boots": options.Boots = reader.Number(100); break;
                case "--idle": options.IdleSeconds = reader.Number(600); break;
                case "--timeout": options.TimeoutSeconds = reader.Number(86400); break;
                case "--quick":
                    (options.Seconds, options.Repetitions, options.Rounds, options.Boots, options.IdleSeconds) = (0.05, 2, 1, 1, 2);
                    break;
                case ['-', ..]: throw new UsageException($"unknown option {reader.Word}");
                default: options.Names.Add(reader.Word); break;
            }

            words.Add(reader.Word == option ? option : $"{option} {reader.Word}");
        }

        options.Reproduce = string.Join(' ', options.Windows.Length > 0 ? words.Prepend("--wine") : words);
        if (options.Workloads.Length == 0 || options.Colinux.Length == 0)
        {
            throw new UsageException("--workloads and --colinux are needed");
        }

        string? unknown = options.Only.FirstOrDefault(only => !Peer.Names.Contains(only));
        return unknown == null ? options : throw new UsageException($"--only: '{unknown}' is none of {string.Join(", ", Peer.Names)}");
    }
}
