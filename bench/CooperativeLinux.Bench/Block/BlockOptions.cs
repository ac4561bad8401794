using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Bench.Block;

/// <summary>Command line of <c>block</c>.</summary>
internal sealed record BlockOptions
{
    public string Colinux { get; private set; } = "";

    /// <summary>Where the disk is made.</summary>
    public string Folder { get; private set; } = Path.GetTempPath();

    public KernelFlavour Kernel { get; private set; } = KernelFlavour.Cloud61;

    /// <summary>MiB of the disk.</summary>
    public int Size { get; private set; } = 1024;

    /// <summary>Seconds of each measurement.</summary>
    public double Seconds { get; private set; } = 0.6;

    /// <summary>Rounds over host and guests; the fastest of each counts.</summary>
    public int Rounds { get; private set; } = 3;

    public int TimeoutSeconds { get; private set; } = 600;

    public string? MarkdownPath { get; private set; }

    /// <summary>Measure only works whose name contains one of these; all if empty.</summary>
    public List<string> Names { get; } = [];

    /// <summary>What to measure.</summary>
    public IReadOnlyList<FioWork> Works =>
        [.. FioWork.All.Where(work => Names.Count == 0 || Names.Any(name => work.Name.Contains(name, StringComparison.Ordinal)))];

    /// <exception cref="UsageException">An option is unknown or its value is out of range.</exception>
    public static BlockOptions Parse(ReadOnlySpan<string> arguments)
    {
        BlockOptions options = new();
        OptionReader reader = new(arguments);
        while (reader.Read())
        {
            switch (reader.Word)
            {
                case "--colinux": options.Colinux = Path.GetFullPath(reader.Text()); break;
                case "--folder": options.Folder = Path.GetFullPath(reader.Text()); break;
                case "--markdown": options.MarkdownPath = Path.GetFullPath(reader.Text()); break;
                case "--kernel":
                    string name = reader.Text();
                    options.Kernel = KernelFlavour.TryParse(name, out KernelFlavour flavour) ? flavour : throw new UsageException($"--kernel: there is no {name}");
                    break;
                case "--size": options.Size = reader.Number(65536); break;
                case "--rounds": options.Rounds = reader.Number(99); break;
                case "--seconds": options.Seconds = reader.Seconds(60); break;
                case "--timeout": options.TimeoutSeconds = reader.Number(86400); break;
                case "--quick":
                    options.Seconds = 0.2;
                    options.Rounds = 1;
                    break;
                case ['-', ..]: throw new UsageException($"unknown option {reader.Word}");
                default: options.Names.Add(reader.Word); break;
            }
        }

        return options.Works.Count == 0 ? throw new UsageException($"no work has a name with {string.Join(" or ", options.Names)}; one is {FioWork.All[0].Name}")
            : options.Colinux.Length > 0 ? options : throw new UsageException("--colinux is needed");
    }
}
