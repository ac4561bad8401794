using CooperativeLinux.Processor.Tests.Generation;
using CooperativeLinux.Processor.Tests.Oracle;
using CooperativeLinux.Processor.Tests.Translated;

namespace CooperativeLinux.Processor.Tests;

/// <summary>Random programs against the real processor.</summary>
public sealed class ProgramTests(NativeRunnerFixture fixture, ITestOutputHelper output)
{
    private const int Programs = 800, NativePrograms = 1000;

    public static TheoryData<string> VariantNames => [.. RunnerVariants.Names];

    [Theory]
    [MemberData(nameof(VariantNames))]
    public void Program_Translated_MatchesProcessor(string variant)
    {
        using TranslatedRunner translated = new(RunnerVariants.Get(variant));
        DifferentialTester tester = new(fixture.Oracle, translated);
        ProgramGenerator generator = new(TestScale.Seed);
        int count = TestScale.Count(Programs);
        int first = RunnerVariants.FirstCase(variant);
        for (int i = 0; i < count && tester.Failures < 20; i++)
        {
            tester.Check(generator.Generate(first + i), variant);
        }

        output.WriteLine($"{variant}: {tester.Cases} programs, {translated.Polls} polls, seed {TestScale.Seed:x}");
        fixture.Counts.AddPrograms(tester.Cases);
        fixture.Counts.AddMissing(tester.Missing);
        fixture.Counts.AddVerified(translated.BlocksVerified);
        Assert.True(tester.Passed, tester.Summary());
    }

    /// <summary>Programs must end, mostly at their last instruction, and give the same result every time.</summary>
    [NativeFact]
    public void Program_Natively_EndsAndIsRepeatable()
    {
        ProgramGenerator generator = new(TestScale.Seed);
        NativeRunner runner = fixture.Runner;
        TestState first = new(), second = new();
        Dictionary<byte, int> vectors = [];
        for (int i = 0; i < NativePrograms; i++)
        {
            TestCase? test = generator.Generate(i).Build();
            if (test is null)
            {
                continue;
            }

            first.CopyFrom(test.Start);
            runner.Run(first);
            second.CopyFrom(test.Start);
            runner.Run(second);
            Assert.True(first.Outcome.Kind == OutcomeKind.Exception, CaseText.Format(test));
            Assert.True(StateComparer.AreEqual(test, first, second), CaseText.Format(test));
            vectors[first.Outcome.Vector] = vectors.GetValueOrDefault(first.Outcome.Vector) + 1;
        }

        output.WriteLine(string.Join(", ", vectors.Select(pair => $"#{pair.Key} {pair.Value}")));
        Assert.True(vectors[3] > NativePrograms / 2);
    }
}
