using System.Globalization;

namespace CooperativeLinux.Bench.Compare;

/// <summary>Everything measured for one kind of guest; null: not measured, or failed.</summary>
internal sealed class PeerResult(Peer peer, string version)
{
    public Peer Peer => peer;

    public string Version => version;

    public SuiteResult? Suite { get; set; }

    /// <summary>Seconds to the first script.</summary>
    public double? Boot { get; set; }

    /// <summary>Seconds to the end of a guest that does nothing.</summary>
    public double? BootAndEnd { get; set; }

    public (double ProcessorPercent, double HostMiB, double GuestMiB)? Idle { get; set; }
}

/// <summary>The tables.</summary>
internal sealed class Report(SuiteResult? before, SuiteResult? after, IReadOnlyList<PeerResult> peers)
{
    private const string Nothing = "";

    private static readonly (string Work, string[] Names)[] s_summary =
    [
        ("integer compute", ["integer."]),
        ("Lua program", ["program.lua"]),
        ("SSE/AVX and floating point", ["float.", "vector."]),
        ("memcpy, string functions", ["string."]),
        ("system call (getppid)", ["system.getppid"]),
        ("pipe round trip, context switch", ["switch."]),
        ("page fault, anonymous", ["memory.fault"]),
        ("fork+exec+exit, static program", ["process.fork-exec-exit"]),
        ("fork+exec+exit, dynamic program", ["process.dynamic-exec"]),
        ("stat, small files", ["file."]),
    ];

    private IEnumerable<string> Headings => peers.Select(peer => peer.Peer.Title);

    /// <summary>Ratios to native by kind of work: geometric means.</summary>
    public TextTable Summary()
    {
        TextTable table = new(["ratio to native", .. Headings]);
        foreach ((string work, string[] prefixes) in s_summary)
        {
            List<string> names = [.. Names().Where(name => prefixes.Any(prefix => name.StartsWith(prefix, StringComparison.Ordinal)))];
            if (names.Count > 0)
            {
                table.Add([work, .. peers.Select(peer => Mean(names.Select(name => Ratio(peer, name, fastest: true))))]);
            }
        }

        AddRow(table, "boot to init, s", peer => peer.Boot, "F2");
        AddRow(table, "boot and power off, s", peer => peer.BootAndEnd, "F2");
        AddRow(table, "idle guest, % of a processor", peer => peer.Idle?.ProcessorPercent, "F1");
        AddRow(table, "idle guest, MiB of the host", peer => peer.Idle?.HostMiB, "F0");
        AddRow(table, "idle guest, MiB used inside", peer => peer.Idle?.GuestMiB, "F0");
        return table;
    }

    /// <summary>Every line: native time, how steady it was, and for each guest the ratio of the fastest and of the median repetition.</summary>
    public TextTable Details()
    {
        TextTable table = new(["work", "native", "again", .. Headings.SelectMany(title => (string[])[title, "median"])]);
        foreach (string name in Names())
        {
            Measurement first = before!.Measurements[name];
            string again = after?.Measurements.TryGetValue(name, out Measurement second) == true ? Number(second.Fastest / first.Fastest) : Nothing;
            table.Add(
            [
                name, Time(first.Fastest), again,
                .. peers.SelectMany(peer => (string[])[Text(Ratio(peer, name, fastest: true)), Text(Ratio(peer, name, fastest: false))]),
            ]);
        }

        return table;
    }

    /// <summary>What makes the numbers doubtful; one line each.</summary>
    public IEnumerable<string> Doubts()
    {
        List<double> drifts = [.. Names()
            .Where(name => after?.Measurements.ContainsKey(name) == true)
            .Select(name => after!.Measurements[name].Fastest / before!.Measurements[name].Fastest)
            .Select(ratio => Math.Max(ratio, 1 / ratio))];
        int unsteady = drifts.Count(drift => drift > 1.15);
        if (unsteady > drifts.Count / 10)
        {
            yield return $"The machine was not quiet: {unsteady} of {drifts.Count} native times changed by more than 15 % during the run, the worst by a factor of {Number(drifts.Max())}.";
        }
    }

    /// <summary>What is wrong with a guest; one line each.</summary>
    public IEnumerable<string> Problems()
    {
        foreach (PeerResult peer in peers.Where(peer => peer.Suite != null))
        {
            if (peer.Suite!.IsClockWrong)
            {
                yield return $"{peer.Peer.Title}: its clock goes {Number(peer.Suite.ClockRate)} s in a second; its times are wrong by that";
            }

            foreach (string name in Names())
            {
                if (!peer.Suite.Measurements.TryGetValue(name, out Measurement measurement))
                {
                    yield return $"{peer.Peer.Title}: {name} did not run";
                }
                else if (measurement.Checksum != before!.Measurements[name].Checksum)
                {
                    yield return $"{peer.Peer.Title}: {name} gave the wrong result {measurement.Checksum}, natively {before.Measurements[name].Checksum}";
                }
            }
        }
    }

    private static string Mean(IEnumerable<double?> ratios)
    {
        List<double> known = [.. ratios.OfType<double>()];
        return known.Count == 0 ? Nothing : Number(Math.Exp(known.Average(Math.Log)));
    }

    private static string Text(double? value) => value is double number ? Number(number) : Nothing;

    private static string Number(double value) => value.ToString(value < 10 ? "F2" : value < 100 ? "F1" : "F0", CultureInfo.InvariantCulture);

    private static string Time(double nanoseconds) => nanoseconds switch
    {
        < 1e3 => string.Create(CultureInfo.InvariantCulture, $"{nanoseconds:G3} ns"),
        < 1e6 => string.Create(CultureInfo.InvariantCulture, $"{nanoseconds / 1e3:G3} µs"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{nanoseconds / 1e6:G3} ms"),
    };

    private IEnumerable<string> Names() => before?.Measurements.Keys ?? Enumerable.Empty<string>();

    /// <summary>To the faster of the two native runs, so that a disturbed one does not flatter a guest.</summary>
    private double? Ratio(PeerResult peer, string name, bool fastest)
    {
        if (peer.Suite == null || !peer.Suite.Measurements.TryGetValue(name, out Measurement guest))
        {
            return null;
        }

        Measurement native = before!.Measurements[name];
        Measurement again = after?.Measurements.TryGetValue(name, out Measurement second) == true ? second : native;
        return fastest
            ? guest.Fastest / Math.Min(native.Fastest, again.Fastest)
            : guest.Median / Math.Min(native.Median, again.Median);
    }

    private void AddRow(TextTable table, string title, Func<PeerResult, double?> value, string format)
    {
        if (peers.Any(peer => value(peer) != null))
        {
            table.Add([title, .. peers.Select(peer => value(peer)?.ToString(format, CultureInfo.InvariantCulture) ?? Nothing)]);
        }
    }
}
