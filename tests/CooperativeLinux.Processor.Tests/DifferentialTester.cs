using System.Text;
using CooperativeLinux.Processor.Tests.Generation;
using CooperativeLinux.Processor.Tests.Oracle;
using CooperativeLinux.Processor.Tests.Translated;

namespace CooperativeLinux.Processor.Tests;

/// <summary>Runs cases on both runners and collects what differs.</summary>
internal sealed class DifferentialTester(IInstructionRunner native, IInstructionRunner tested)
{
    /// <summary>Variable with the path of a file that always holds the case being run: what to look at after a crash.</summary>
    public const string TraceVariable = "COLINUX_TEST_TRACE";

    private const byte AlignmentCheckVector = 17;
    private const int MaxReports = 12, MaxReportsPerKind = 2, MaxFailureLines = 4;

    private const string NotRepeatable = "# The case alone does not fail again: what ran before matters.\n";

    private readonly string? _tracePath = Environment.GetEnvironmentVariable(TraceVariable);
    private readonly Dictionary<string, int> _failuresByKind = [];
    private readonly List<string> _reports = [];
    private readonly TestState _expected = new();
    private readonly TestState _actual = new();

    public int Cases { get; private set; }

    public int Failures { get; private set; }

    /// <summary>Cases without a recorded result.</summary>
    public int Missing { get; private set; }

    /// <summary>Whether all cases were compared and agree.</summary>
    public bool Passed => Failures == 0 && Missing == 0;

    /// <summary>Runs a case on both; true if they agree.</summary>
    public bool Agrees(TestCase test)
    {
        if (_tracePath is not null)
        {
            File.WriteAllText(_tracePath, CaseText.Format(test));
        }

        _expected.CopyFrom(test.Start);
        native.Run(_expected);
        if (_expected.Outcome.Kind == OutcomeKind.NotRun)
        {
            Missing++;
            return true;
        }

        // A program that changed its own return address may do anything. It may never end: there is nothing to compare. Or it sets AC, for
        // which the guest's processor has no alignment checks.
        if (_expected.Outcome.Kind == OutcomeKind.TimedOut || _expected.Outcome is { Kind: OutcomeKind.Exception, Vector: AlignmentCheckVector })
        {
            return true;
        }

        _actual.CopyFrom(test.Start);
        tested.Run(_actual);
        return StateComparer.AreEqual(test, _expected, _actual);
    }

    /// <summary>Runs a case; a difference is counted under <paramref name="kind"/> and the first few are kept as text.</summary>
    public bool Check(TestCase test, string kind)
    {
        Cases++;
        if (Agrees(test))
        {
            return true;
        }

        Failures++;
        int count = _failuresByKind[kind] = _failuresByKind.GetValueOrDefault(kind) + 1;
        if (_reports.Count < MaxReports && count <= MaxReportsPerKind)
        {
            string original = Report(test);
            byte vector = _expected.Outcome.Vector;
            Outcome outcome = _actual.Outcome;
            StateShrinker.Shrink(test, changed => !Agrees(changed) && _expected.Outcome.Vector == vector && _actual.Outcome.Kind == outcome.Kind && _actual.Outcome.Vector == outcome.Vector);
            _reports.Add(Agrees(test) ? original + NotRepeatable : Report(test));
        }

        return false;
    }

    /// <summary>Runs a program; a difference is shrunk to few instructions.</summary>
    public bool Check(RandomProgram program, string kind)
    {
        if (program.Build() is not TestCase test)
        {
            return true;
        }

        Cases++;
        if (Agrees(test))
        {
            return true;
        }

        Failures++;
        int count = _failuresByKind[kind] = _failuresByKind.GetValueOrDefault(kind) + 1;
        if (_reports.Count < MaxReports && count <= MaxReports)
        {
            string original = Report(test);
            TestCase smallest = ProgramShrinker.Shrink(program, candidate => !Agrees(candidate));
            StateShrinker.Shrink(smallest, changed => !Agrees(changed));
            _reports.Add(Agrees(smallest) ? original + NotRepeatable : Report(smallest));
        }

        return false;
    }

    /// <summary>Text of the last run's difference: the case, then one line for each thing that differs.</summary>
    public string Report(TestCase test)
    {
        StringBuilder report = new(CaseText.Format(test));
        foreach (string difference in StateComparer.Differences(test, _expected, _actual).Take(24))
        {
            report.Append("# ").AppendLine(difference);
        }

        if (tested is TranslatedRunner { Failure: string failure })
        {
            report.Append("# failure: ").AppendLine(string.Join("\n#   ", failure.Split('\n').Take(MaxFailureLines)));
        }

        return report.ToString();
    }

    /// <summary>Summary by kind and the kept reports.</summary>
    public string Summary()
    {
        StringBuilder summary = new($"{Failures} of {Cases} cases differ (seed {TestScale.Seed:x}){(Missing > 0 ? $", {Missing} not recorded" : "")}");
        foreach ((string kind, int count) in _failuresByKind.OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key, StringComparer.Ordinal))
        {
            summary.AppendLine().Append($"  {kind}: {count}");
        }

        foreach (string report in _reports)
        {
            summary.AppendLine().AppendLine().Append(report);
        }

        return summary.ToString();
    }
}
