using System.Globalization;

namespace CooperativeLinux.Bench.Compare;

/// <summary>One line of the suite's output.</summary>
/// <param name="Fastest">Nanoseconds of one operation, of the fastest repetition.</param>
/// <param name="Median">The same of the median repetition.</param>
/// <param name="Checksum">Of the work's result.</param>
internal readonly record struct Measurement(double Fastest, double Median, string Checksum);

/// <summary>The suite's output.</summary>
internal sealed class SuiteResult
{
    /// <summary>By name, in the order they ran.</summary>
    public OrderedDictionary<string, Measurement> Measurements { get; } = [];

    /// <summary>Seconds the machine's clock counted for each second of the host's; NaN if the suite did not come to its end.</summary>
    public double ClockRate { get; private set; } = double.NaN;

    /// <summary>Whether the machine's clock differs by more than the delays of a console on a busy host.</summary>
    public bool IsClockWrong { get; private set; }

    /// <exception cref="BenchException">The output is not the suite's, or a test failed.</exception>
    public static SuiteResult Parse(IEnumerable<ConsoleLine> lines)
    {
        SuiteResult result = new();
        (double Guest, TimeSpan Host)? begin = null;
        foreach (ConsoleLine line in lines)
        {
            string[] words = line.Text.Split(' ');
            if (words is ["clock", string clock] && TryNumber(clock, out double time))
            {
                if (begin is (double guest, TimeSpan host))
                {
                    double expected = (line.Time - host).TotalSeconds;
                    result.ClockRate = (time - guest) / expected;
                    result.IsClockWrong = Math.Abs(time - guest - expected) > 0.3 + (expected * 0.01);
                }

                begin = (time, line.Time);
            }
            else if (words is [string name, string fastest, string median, string checksum] && name.Contains('.')
                && TryNumber(fastest, out double best) && TryNumber(median, out double middle))
            {
                result.Measurements[name] = new Measurement(best, middle, checksum);
            }
            else if (line.Text.StartsWith("suite: ", StringComparison.Ordinal) || words is [_, "differs:", ..])
            {
                throw new BenchException(line.Text);
            }
        }

        return double.IsNaN(result.ClockRate) ? throw new BenchException("the programs did not come to their end") : result;
    }

    /// <summary>The fastest of both, line by line.</summary>
    /// <param name="other">Of the same programs, or null.</param>
    /// <exception cref="BenchException">A program gave another result this time.</exception>
    public SuiteResult FastestWith(SuiteResult? other)
    {
        if (other == null)
        {
            return this;
        }

        SuiteResult result = new() { ClockRate = IsClockWrong ? ClockRate : other.ClockRate, IsClockWrong = IsClockWrong || other.IsClockWrong };
        foreach ((string name, Measurement mine) in Measurements)
        {
            Measurement fastest = mine;
            if (other.Measurements.TryGetValue(name, out Measurement its))
            {
                if (its.Checksum != mine.Checksum)
                {
                    throw new BenchException($"{name} gave {its.Checksum}, then {mine.Checksum}");
                }

                fastest = new Measurement(Math.Min(mine.Fastest, its.Fastest), Math.Min(mine.Median, its.Median), mine.Checksum);
            }

            result.Measurements[name] = fastest;
        }

        return result;
    }

    private static bool TryNumber(string text, out double value) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out value);
}
