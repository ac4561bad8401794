using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Bench.Share;

/// <summary>Command line of <c>share</c>.</summary>
internal sealed record ShareBenchOptions
{
    public string Workloads { get; private set; } = "";

    public string Colinux { get; private set; } = "";

    public KernelFlavour Kernel { get; private set; } = KernelFlavour.Generic61;

    /// <summary>Small files in the tree and the repository.</summary>
    public int Files { get; private set; } = 10_000;

    /// <summary>Size of the large file.</summary>
    public int Mebibytes { get; private set; } = 256;

    public int Repetitions { get; private set; } = 2;

    public int TimeoutSeconds { get; private set; } = 1800;

    public bool WithQemu { get; private set; } = true;

    /// <summary>Below which the shared folder is made, or null for the system's temporary folder.</summary>
    public string? Folder { get; private set; }

    public string? MarkdownPath { get; private set; }

    /// <exception cref="UsageException">An option is unknown or its value is out of range.</exception>
    public static ShareBenchOptions Parse(ReadOnlySpan<string> arguments)
    {
        ShareBenchOptions options = new();
        OptionReader reader = new(arguments);
        while (reader.Read())
        {
            switch (reader.Word)
            {
                case "--workloads": options.Workloads = Path.GetFullPath(reader.Text()); break;
                case "--colinux": options.Colinux = Path.GetFullPath(reader.Text()); break;
                case "--folder": options.Folder = Path.GetFullPath(reader.Text()); break;
                case "--markdown": options.MarkdownPath = Path.GetFullPath(reader.Text()); break;
                case "--kernel":
                    string name = reader.Text();
                    options.Kernel = KernelFlavour.TryParse(name, out KernelFlavour flavour) ? flavour : throw new UsageException($"--kernel: there is no {name}");
                    break;
                case "--files": options.Files = reader.Number(1_000_000); break;
                case "--size": options.Mebibytes = reader.Number(65536); break;
                case "--repetitions": options.Repetitions = reader.Number(99); break;
                case "--timeout": options.TimeoutSeconds = reader.Number(86400); break;
                case "--no-qemu": options.WithQemu = false; break;
                default: throw new UsageException($"unknown option {reader.Word}");
            }
        }

        return options.Workloads.Length == 0 || options.Colinux.Length == 0 ? throw new UsageException("--workloads and --colinux are needed") : options;
    }
}
