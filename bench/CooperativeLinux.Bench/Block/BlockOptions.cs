using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Bench.Block;

/// <summary>Command line of <c>block</c>.</summary>
internal sealed record BlockOptions
{
    public string Sources { get; private set; } = "";

    public string Colinux { get; private set; } = "";

    /// <summary>Where the disk is made.</summary>
    public string Folder { get; private set; } = Path.GetTempPath();

    public KernelFlavour Kernel { get; private set; } = KernelFlavour.Cloud61;

    /// <summary>MiB of the disk.</summary>
    public int Size { get; private set; } = 1024;

    /// <summary>Seconds of each measurement.</summary>
    public double Seconds { get; private set; } = 0.5;

    /// <summary>Rounds over host and guests; the fastest of each counts.</summary>
    public int Rounds { get; private set; } = 3;

    public int TimeoutSeconds { get; private set; } = 600;

    public string? MarkdownPath { get; private set; }

    /// <exception cref="UsageException">An option is unknown or its value is out of range.</exception>
    public static BlockOptions Parse(ReadOnlySpan<string> arguments)
    {
        BlockOptions options = new();
        OptionReader reader = new(arguments);
        while (reader.Read())
        {
            switch (reader.Word)
            {
                case "--sources": options.Sources = Path.GetFullPath(reader.Text()); break;
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
                default: throw new UsageException($"unknown option {reader.Word}");
            }
        }

        return options.Sources.Length > 0 && options.Colinux.Length > 0 ? options : throw new UsageException("--sources and --colinux are needed");
    }
}
