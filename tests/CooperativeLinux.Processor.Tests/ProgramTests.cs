using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Tests.Generation;
using CooperativeLinux.Processor.Tests.Oracle;
using CooperativeLinux.Processor.Tests.Translated;

namespace CooperativeLinux.Processor.Tests;

/// <summary>Random programs against the real processor.</summary>
public sealed class ProgramTests(NativeRunnerFixture fixture, ITestOutputHelper output)
{
    private const int Programs = 1500, NativePrograms = 2000;

    private static readonly Dictionary<string, RunnerOptions> Variants = new()
    {
        ["default"] = new RunnerOptions(),
        ["kernel mode"] = new RunnerOptions { KernelMode = true },
        ["one-instruction blocks"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = true, MaxBlockInstructions = 1 } },
        ["tiny code cache"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = true, CodeCacheSize = 256 << 10 } },
        ["no stack windows"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = true, NoStackWindows = true } },
        ["always careful"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = true, AlwaysCareful = true } },
        ["TLB always empty"] = new RunnerOptions { Processor = new ProcessorOptions { Verify = true, FlushAlways = true } },
        ["clean page tables"] = new RunnerOptions { CleanPageTables = true, FlushBetweenRuns = true },
        ["always poll"] = new RunnerOptions { AlwaysPoll = true },
    };

    public static TheoryData<string> VariantNames => [.. Variants.Keys];

    [Theory]
    [MemberData(nameof(VariantNames))]
    public void Program_Translated_MatchesProcessor(string variant)
    {
        using TranslatedRunner translated = new(Variants[variant]);
        DifferentialTester tester = new(fixture.Runner, translated);
        ProgramGenerator generator = new(TestScale.Seed);
        int count = TestScale.Count(Programs);
        int first = 1_000_000 * Variants.Keys.ToList().IndexOf(variant);
        for (int i = 0; i < count && tester.Failures < 20; i++)
        {
            tester.Check(generator.Generate(first + i), variant);
        }

        output.WriteLine($"{variant}: {tester.Cases} programs, {translated.Polls} polls, seed {TestScale.Seed:x}");
        Assert.True(tester.Failures == 0, tester.Summary());
    }

    /// <summary>Programs must end, mostly at their last instruction, and give the same result every time.</summary>
    [Fact]
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
