using CooperativeLinux.Processor.Tests.Generation;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests;

/// <summary>What all tests of a run compared with the real processor. Any thread.</summary>
internal sealed class ComparisonCounts
{
    private readonly Lock _lock = new();
    private readonly HashSet<Code> _forms = [];
    private long _cases;
    private long _programs;
    private long _missing;
    private long _verified;

    /// <summary>Counts the cases of one instruction form.</summary>
    public void AddForm(Code code, int cases)
    {
        lock (_lock)
        {
            _forms.Add(code);
            _cases += cases;
        }
    }

    public void AddPrograms(int programs) => Interlocked.Add(ref _programs, programs);

    /// <summary>Counts cases without a recorded result, which were not compared.</summary>
    public void AddMissing(int cases) => Interlocked.Add(ref _missing, cases);

    /// <summary>Counts blocks that passed the verifier.</summary>
    public void AddVerified(long blocks) => Interlocked.Add(ref _verified, blocks);

    /// <summary>One line for people; empty if nothing was compared.</summary>
    public override string ToString()
    {
        int translated = InstructionCatalogue.Translated.Count;
        int covered = InstructionCatalogue.Translated.Count(_forms.Contains);
        string missing = _missing > 0 ? $"; {_missing} without a recorded result" : "";
        return _cases + _programs == 0 ? "" :
            $"Compared with the processor: {_cases} cases of {covered} of {translated} translated instruction forms, {_programs} random programs"
            + $"{missing}; {_verified} blocks verified; seed {TestScale.Seed:x}";
    }
}
