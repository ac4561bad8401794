namespace CooperativeLinux.Bench.Micro;

/// <summary>Command line of <c>micro</c>.</summary>
internal sealed record MicroOptions
{
    public List<string> Names { get; } = [];

    public bool List { get; private set; }

    /// <summary>Guest kernel mode and kernel addresses instead of user mode.</summary>
    public bool Kernel { get; private set; }

    public bool Statistics { get; private set; }

    public bool NoStackWindows { get; private set; }

    /// <summary>Every block gets entries of the inline TLB at once, as code that runs often does in a machine.</summary>
    public bool AlwaysHot { get; private set; }

    /// <summary>Shortest measured run, milliseconds.</summary>
    public int Milliseconds { get; private set; } = 20;

    public int Runs { get; private set; } = 5;

    /// <exception cref="UsageException">An option is unknown or its value is out of range.</exception>
    public static MicroOptions Parse(ReadOnlySpan<string> arguments)
    {
        MicroOptions options = new();
        OptionReader reader = new(arguments);
        while (reader.Read())
        {
            switch (reader.Word)
            {
                case "--list": options.List = true; break;
                case "--kernel": options.Kernel = true; break;
                case "--stats": options.Statistics = true; break;
                case "--no-windows": options.NoStackWindows = true; break;
                case "--hot": options.AlwaysHot = true; break;
                case "--ms": options.Milliseconds = reader.Number(10_000); break;
                case "--runs": options.Runs = reader.Number(1000); break;
                case ['-', ..]: throw new UsageException($"unknown option {reader.Word}");
                default: options.Names.Add(reader.Word); break;
            }
        }

        return options;
    }
}
