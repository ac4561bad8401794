using System.Globalization;

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

    /// <summary>Shortest measured run, milliseconds.</summary>
    public int Milliseconds { get; private set; } = 20;

    public int Runs { get; private set; } = 5;

    /// <exception cref="UsageException">An option is unknown or its value is out of range.</exception>
    public static MicroOptions Parse(ReadOnlySpan<string> arguments)
    {
        MicroOptions options = new();
        for (int i = 0; i < arguments.Length; i++)
        {
            switch (arguments[i])
            {
                case "--list": options.List = true; break;
                case "--kernel": options.Kernel = true; break;
                case "--stats": options.Statistics = true; break;
                case "--no-windows": options.NoStackWindows = true; break;
                case "--ms": options.Milliseconds = Number(arguments, ref i, 10_000); break;
                case "--runs": options.Runs = Number(arguments, ref i, 1000); break;
                case [ '-', ..]: throw new UsageException($"unknown option {arguments[i]}");
                default: options.Names.Add(arguments[i]); break;
            }
        }

        return options;
    }

    private static int Number(ReadOnlySpan<string> arguments, ref int i, int most)
    {
        string option = arguments[i];
        if (++i < arguments.Length
            && int.TryParse(arguments[i], NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= 1 && value <= most)
        {
            return value;
        }

        throw new UsageException($"{option} needs a number from 1 to {most}");
    }
}
