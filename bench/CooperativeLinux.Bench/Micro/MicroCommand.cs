using System.Globalization;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Bench.Micro;

/// <summary><c>micro</c>: every snippet on the translator and on the host processor.</summary>
internal sealed class MicroCommand(MicroOptions options, TextWriter output)
{
    private const int CheckedIterations = 100;

    private readonly ProcessorOptions _processor = new() { NoStackWindows = options.NoStackWindows, AlwaysHot = options.AlwaysHot };

    /// <returns>The exit code: 1 if a snippet failed.</returns>
    public int Run()
    {
        List<Snippet> snippets = [.. Snippets.All.Where(IsWanted)];
        bool translate = IsWanted(TranslationBench.Name);
        if (snippets.Count == 0 && !translate)
        {
            throw new UsageException($"no benchmark is called {string.Join(" or ", options.Names)}; see --list");
        }

        if (options.List)
        {
            TextTable list = new("name", "one operation");
            snippets.ForEach(snippet => list.Add(snippet.Name, snippet.Operation));
            output.Write(list);
            return 0;
        }

        output.WriteLine($"{"benchmark",-16}{"native ns",12}{"guest ns",12}{"ratio",9}{"median",9}  one operation");
        List<double> ratios = [];
        bool failed = false;
        foreach (Snippet snippet in snippets)
        {
            try
            {
                Measure(snippet, ratios);
            }
            catch (GuestFailedException error)
            {
                failed = true;
                output.WriteLine($"{snippet.Name,-16}FAILED: {error.Message}");
            }
        }

        if (translate)
        {
            TranslationBench.Run(_processor, options, output);
        }

        if (ratios.Count > 1)
        {
            double mean = Math.Exp(ratios.Average(Math.Log));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"geometric mean",-16}{"",24}{mean,9:F2}"));
        }

        return failed ? 1 : 0;
    }

    /// <summary>How many iterations fill the time asked for.</summary>
    private static long Calibrate(Func<long, ulong> call, int milliseconds)
    {
        // The first runs also compile the managed code they come through, so a guess counts only once it has held.
        long iterations = 16;
        while (true)
        {
            double wanted = milliseconds * 1e6 / Math.Max(Time(call, iterations), 1);
            if (wanted is > 0.5 and < 2)
            {
                return iterations;
            }

            long next = Math.Max(1, (long)(iterations * Math.Clamp(wanted, 0.1, 8)));
            if (next == 1 && iterations == 1)
            {
                return 1;
            }

            iterations = next;
        }
    }

    private static double Time(Func<long, ulong> call, long iterations)
    {
        double start = ThreadTime.Nanoseconds;
        call(iterations);
        return ThreadTime.Nanoseconds - start;
    }

    private static bool RunsNatively(Snippet snippet) =>
        snippet.Native == NativeSide.Everywhere || (snippet.Native == NativeSide.Linux && OperatingSystem.IsLinux());

    private bool IsWanted(Snippet snippet) => snippet.IsSupported && IsWanted(snippet.Name);

    private bool IsWanted(string name) =>
        options.Names.Count == 0 || options.Names.Any(part => name.Contains(part, StringComparison.OrdinalIgnoreCase));

    private void Measure(Snippet snippet, List<double> ratios)
    {
        using FlatGuest guest = new(options.Kernel, _processor);
        guest.LoadCode(snippet.Assemble(guest.CodeAddress));
        if (snippet.Fill != null)
        {
            byte[] data = new byte[Snippet.DataSize];
            snippet.Fill(data, guest.DataAddress);
            guest.LoadData(data);
        }

        using NativeCode? native = RunsNatively(snippet) ? new NativeCode(snippet) : null;
        ulong result = guest.Call(CheckedIterations);
        if (native != null && native.Call(CheckedIterations) is ulong expected && expected != result)
        {
            throw new GuestFailedException($"the result is {result:x}, natively {expected:x}");
        }

        long guestIterations = Calibrate(guest.Call, options.Milliseconds);
        long nativeIterations = native == null ? 0 : Calibrate(native.Call, options.Milliseconds);
        double[] guestTimes = new double[options.Runs];
        double[] nativeTimes = new double[options.Runs];
        Counters before = new(guest.Cpu.Statistics);
        for (int run = 0; run < options.Runs; run++)
        {
            nativeTimes[run] = native == null ? 0 : Time(native.Call, nativeIterations) / nativeIterations / snippet.Operations;
            guestTimes[run] = Time(guest.Call, guestIterations) / guestIterations / snippet.Operations;
        }

        Counters after = new(guest.Cpu.Statistics);
        Array.Sort(guestTimes);
        Array.Sort(nativeTimes);
        string nativeText = "", ratioText = "", medianText = "";
        if (native != null)
        {
            double ratio = guestTimes[0] / nativeTimes[0];
            ratios.Add(ratio);
            nativeText = Text(nativeTimes[0]);
            ratioText = Text(ratio);
            medianText = Text(guestTimes[options.Runs / 2] / nativeTimes[options.Runs / 2]);
        }

        output.WriteLine($"{snippet.Name,-16}{nativeText,12}{Text(guestTimes[0]),12}{ratioText,9}{medianText,9}  {snippet.Operation}");
        if (options.Statistics)
        {
            output.WriteLine("    " + Counters.Describe(before, after, (double)guestIterations * snippet.Operations * options.Runs));
        }
    }

    private static string Text(double value) => value.ToString(value < 1000 ? "F2" : "F0", CultureInfo.InvariantCulture);
}
