using System.Globalization;
using CooperativeLinux.Bench.Compare;

namespace CooperativeLinux.Bench.Block;

/// <summary>A kind of access to a disk, measured by fio.</summary>
/// <param name="IsWrite">Writes, or else reads.</param>
/// <param name="IsRandom">At random places, or else one after the other.</param>
/// <param name="KiB">Size of a request.</param>
/// <param name="Depth">Requests in flight.</param>
internal sealed record FioWork(bool IsWrite, bool IsRandom, int KiB, int Depth)
{
    // Fields of a line of fio's terse output, version 3 (fio's HOWTO, "Terse output"); bandwidths in KiB/s.
    private const string TerseVersion = "3";
    private const int NameField = 2, ErrorField = 4, ReadBandwidthField = 6, WriteBandwidthField = 47;

    // Not measured: until the program's code and the file's pages have been used once.
    private const int RampMilliseconds = 100;

    /// <summary>All that can be measured.</summary>
    public static IReadOnlyList<FioWork> All { get; } =
    [
        .. from isWrite in (bool[])[false, true]
           from isRandom in (bool[])[false, true]
           from size in (int[])[4, 64, 1024]
           from depth in (int[])[1, 8]
           select new FioWork(isWrite, isRandom, size, depth),
    ];

    /// <summary>Options of fio for its output.</summary>
    public static IReadOnlyList<string> Arguments { get; } = ["--output-format=terse", $"--terse-version={TerseVersion}"];

    /// <summary>Such as random-write-64k-8.</summary>
    public string Name => string.Create(CultureInfo.InvariantCulture, $"{(IsRandom ? "random" : "sequential")}-{(IsWrite ? "write" : "read")}-{KiB}k-{Depth}");

    private string Mode => (IsRandom ? "rand" : "") + (IsWrite ? "write" : "read");

    /// <summary>The job file: one work after the other. Synchronous writes after a job are not part of its time.</summary>
    /// <param name="works">What to measure.</param>
    /// <param name="disk">File or block device.</param>
    /// <param name="isDirect">Whether past the memory that the system caches files in.</param>
    /// <param name="seconds">Of each work.</param>
    public static string MakeJobs(IEnumerable<FioWork> works, string disk, bool isDirect, double seconds)
    {
        string all = string.Create(CultureInfo.InvariantCulture, $"""
            [global]
            filename={disk}
            direct={(isDirect ? 1 : 0)}
            ioengine=libaio
            thread
            time_based
            runtime={seconds * 1000:F0}ms
            ramp_time={RampMilliseconds}ms
            invalidate=0
            norandommap
            fsync_on_close=1

            """);
        return all + string.Concat(works.Select(work => $"""
            [{work.Name}]
            stonewall
            rw={work.Mode}
            bs={work.KiB}k
            iodepth={work.Depth}

            """));
    }

    /// <summary>Takes fio's output apart.</summary>
    /// <returns>MiB/s of each work.</returns>
    /// <exception cref="BenchException">One is missing or failed.</exception>
    public static Dictionary<string, double> Parse(IReadOnlyList<FioWork> works, string title, ConsoleRun run)
    {
        Dictionary<string, double> speeds = [];
        foreach (string[] fields in run.Lines.Select(line => line.Text.Split(';')))
        {
            if (fields.Length > WriteBandwidthField && fields[0] == TerseVersion && fields[ErrorField] == "0"
                && works.FirstOrDefault(work => work.Name == fields[NameField]) is FioWork work
                && double.TryParse(fields[work.IsWrite ? WriteBandwidthField : ReadBandwidthField], NumberStyles.None, CultureInfo.InvariantCulture, out double speed)
                && speed > 0)
            {
                speeds[work.Name] = speed / 1024;
            }
        }

        return speeds.Count == works.Count ? speeds : throw new BenchException($"{title}: {speeds.Count} of {works.Count} measurements\n{run.Tail()}");
    }
}
