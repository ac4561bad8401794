using CooperativeLinux.Bench.Micro;

namespace CooperativeLinux.Bench;

/// <summary>The benchmarks: <c>micro</c> measures the processor alone.</summary>
internal static class Program
{
    private const string Usage = """
        usage: CooperativeLinux.Bench micro [options] [name ...]
            Short machine-code loops on the translator and, the same bytes, on the host processor.
            name            only loops whose name contains one of these
            --list          names and what one operation is
            --kernel        run the loops in guest kernel mode, at kernel addresses
            --ms N          shortest measured run, milliseconds [20]
            --runs N        runs of each side, alternating; the fastest counts [5]
            --stats         the processor's event counts per operation
            --no-windows    without stack windows
        """;

    private static int Main(string[] arguments)
    {
        try
        {
            switch (arguments.FirstOrDefault())
            {
                case "micro":
                    return new MicroCommand(MicroOptions.Parse(arguments.AsSpan(1)), Console.Out).Run();
                case "--help" or "-h" or "help":
                    Console.WriteLine(Usage);
                    return 0;
                default:
                    Console.Error.WriteLine(Usage);
                    return 2;
            }
        }
        catch (UsageException error)
        {
            Console.Error.WriteLine($"bench: {error.Message}");
            return 2;
        }
    }
}
