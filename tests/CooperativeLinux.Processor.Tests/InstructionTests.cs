using CooperativeLinux.Processor.Tests.Generation;
using CooperativeLinux.Processor.Tests.Oracle;
using CooperativeLinux.Processor.Tests.Translated;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests;

/// <summary>Every instruction of the guest's CPU model, one at a time, against the real processor.</summary>
public sealed class InstructionTests(NativeRunnerFixture fixture, ITestOutputHelper output)
{
    private const int CasesPerInstruction = 12, CasesPerVariant = 2;

    /// <summary>Names of the feature sets.</summary>
    public static TheoryData<string> Groups => [.. InstructionCatalogue.Compared.Select(InstructionCatalogue.Group).Distinct()];

    /// <summary>All configurations but the default one.</summary>
    public static TheoryData<string> Variants => [.. RunnerVariants.Names.Skip(1)];

    [Theory]
    [MemberData(nameof(Groups))]
    public void Group_Translated_MatchesProcessor(string group)
    {
        using TranslatedRunner translated = new();
        DifferentialTester tester = new(fixture.Oracle, translated);
        CaseGenerator generator = new(TestScale.Seed);
        int count = TestScale.Count(CasesPerInstruction);
        foreach (Code code in InstructionCatalogue.InGroup(group))
        {
            for (int i = 0; i < count; i++)
            {
                tester.Check(generator.Generate(code, i)!, code.ToString());
            }

            fixture.Counts.AddForm(code, count);
        }

        output.WriteLine($"{group}: {tester.Cases} cases, seed {TestScale.Seed:x}");
        fixture.Counts.AddMissing(tester.Missing);
        fixture.Counts.AddVerified(translated.BlocksVerified);
        Assert.True(tester.Passed, tester.Summary());
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void EveryInstruction_Variant_MatchesProcessor(string variant)
    {
        using TranslatedRunner translated = new(RunnerVariants.Get(variant));
        DifferentialTester tester = new(fixture.Oracle, translated);
        CaseGenerator generator = new(TestScale.Seed);
        int count = TestScale.Count(CasesPerVariant), first = RunnerVariants.FirstCase(variant);
        foreach (Code code in InstructionCatalogue.Compared)
        {
            for (int i = 0; i < count; i++)
            {
                tester.Check(generator.Generate(code, first + i)!, code.ToString());
            }

            fixture.Counts.AddForm(code, count);
        }

        output.WriteLine($"{variant}: {tester.Cases} cases, seed {TestScale.Seed:x}");
        fixture.Counts.AddMissing(tester.Missing);
        fixture.Counts.AddVerified(translated.BlocksVerified);
        Assert.True(tester.Passed, tester.Summary());
    }
}
