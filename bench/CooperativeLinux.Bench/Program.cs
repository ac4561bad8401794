using CooperativeLinux.Bench.Block;
using CooperativeLinux.Bench.Compare;
using CooperativeLinux.Bench.Micro;
using CooperativeLinux.Bench.Network;
using CooperativeLinux.Bench.Share;
using CooperativeLinux.Guests;

namespace CooperativeLinux.Bench;

/// <summary>The benchmarks: <c>micro</c> measures the processor alone, <c>compare</c> whole guests, <c>block</c> disks, <c>net</c> the
/// network, <c>share</c> host folders.</summary>
internal static class Program
{
    private const string Usage = """
        usage: CooperativeLinux.Bench micro [option ...] [name ...]
            Short machine-code loops on the translator and, the same bytes, on the host processor.
            name            only loops whose name contains one of these
            --list          names and what one operation is
            --kernel        run the loops in guest kernel mode, at kernel addresses
            --ms N          shortest measured run, milliseconds [20]
            --runs N        runs of each side, alternating; the fastest counts [5]
            --stats         the processor's event counts per operation
            --no-windows    without stack windows
            --hot           with entries of the inline TLB, as code that runs often

        usage: CooperativeLinux.Bench compare --workloads FOLDER --colinux FILE [option ...] [start of a name ...]
            The same programs on the host, in our guest, in QEMU without hardware help and in User-mode Linux.
            name            only these; boot, idle, integer, float, vector, string, system, switch, memory, process,
                            program, file, or a whole name such as integer.sort
            --workloads     the folder of the programs' sources
            --colinux       the command colinux
            --windows FILE  the command's Windows build, which is then measured too; with --windows-runner
            --windows-runner FILE
                            runs a Windows program; bench/run --wine gives both
            --only A,B      only these: colinux, windows, qemu, uml (native is always measured)
            --kernel NAME   Debian kernel for our guest and QEMU: 6.1-generic, 6.1-cloud, ... [6.1-cloud]
            --qemu-cpu NAME CPU model of QEMU [max]
            --memory MIB    memory of the guests [512]
            --seconds S     shortest measured time of one repetition [0.3]
            --repetitions N repetitions of each measurement; the fastest counts [3]
            --rounds N      rounds of the programs over host and guests; the fastest of each measurement counts [2]
            --boots N       boots measured [3]
            --idle S        seconds watched for the use of an idle guest [5]
            --timeout S     seconds after which a guest is given up [900]
            --quick         --seconds 0.05 --repetitions 2 --rounds 1 --boots 1 --idle 2
            --markdown FILE write the result as a page of the documentation too

        usage: CooperativeLinux.Bench block --colinux FILE [option ...] [name ...]
            A disk in a file, measured by Debian's fio: on the host itself, in our guest, and in QEMU's without hardware help
            (virtio-blk).
            name            only works whose name contains one of these, such as 64k or random-write
            --colinux       the command colinux
            --folder        where the file is made [the folder for temporary files]
            --kernel NAME   Debian kernel: 6.1-generic, 6.1-cloud, ... [6.1-cloud]
            --size MIB      size of the disk [1024]
            --seconds S     time of each measurement [0.6]
            --rounds N      rounds over host and guests; the fastest of each measurement counts [3]
            --quick         --seconds 0.2 --rounds 1
            --timeout S     seconds after which a guest is given up [600]
            --markdown FILE write the result as a page of the documentation too

        usage: CooperativeLinux.Bench net --workloads FOLDER --colinux FILE [option ...]
            The network of our guest and of QEMU's without hardware help, to a server on the host.
            --workloads, --colinux, --only, --kernel, --qemu-cpu, --memory, --seconds, --repetitions, --timeout, --markdown: as above

        usage: CooperativeLinux.Bench share --workloads FOLDER --colinux FILE [option ...]
            Small files, git and bulk transfer on a host folder: by the host, by our guest, and by QEMU's through its 9p.
            --files N       small files [10000]
            --size MIB      the large file [256]
            --repetitions N the fastest counts [2]
            --folder FOLDER where the shared folder is made [the system's temporary folder]
            --kernel NAME   Debian kernel with 9p [6.1-generic]
            --no-qemu       without QEMU
            --timeout S     seconds after which a guest is given up [1800]
            --markdown FILE write the result as a part of the documentation too
        """;

    private static async Task<int> Main(string[] arguments)
    {
        if (arguments is ["help", ..] || arguments.Any(word => word is "--help" or "-h"))
        {
            Console.WriteLine(Usage);
            return 0;
        }

        try
        {
            switch (arguments.FirstOrDefault())
            {
                case "micro":
                    return new MicroCommand(MicroOptions.Parse(arguments.AsSpan(1)), Console.Out).Run();
                case "compare":
                    return await new CompareCommand(CompareOptions.Parse(arguments.AsSpan(1)), Console.Out, Console.Error).RunAsync().ConfigureAwait(false);
                case "block":
                    return await new BlockCommand(BlockOptions.Parse(arguments.AsSpan(1)), Console.Out, Console.Error).RunAsync().ConfigureAwait(false);
                case "net":
                    return await new NetworkCommand(CompareOptions.Parse(arguments.AsSpan(1)), Console.Out, Console.Error).RunAsync().ConfigureAwait(false);
                case "share":
                    return await new ShareCommand(ShareBenchOptions.Parse(arguments.AsSpan(1)), Console.Out, Console.Error).RunAsync().ConfigureAwait(false);
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
        catch (Exception error) when (error is BenchException or GuestBuildException or IOException)
        {
            Console.Error.WriteLine($"bench: {error.Message}");
            return 1;
        }
    }
}
