using System.Reflection;
using CooperativeLinux.Processor.Tests.Oracle;
using CooperativeLinux.Processor.Tests.Translated;

namespace CooperativeLinux.Processor.Tests;

/// <summary>Cases that once failed: the files under Data.</summary>
public sealed class RegressionTests(NativeRunnerFixture fixture)
{
    private static readonly Assembly Tests = typeof(RegressionTests).Assembly;

    public static TheoryData<string, string> FilesAndVariants
    {
        get
        {
            TheoryData<string, string> data = [];
            foreach (string file in Tests.GetManifestResourceNames().Where(name => name.EndsWith(".txt", StringComparison.Ordinal)))
            {
                foreach (string variant in RunnerVariants.Names)
                {
                    data.Add(file, variant);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(FilesAndVariants))]
    public void Case_Translated_MatchesProcessor(string file, string variant)
    {
        using StreamReader reader = new(Tests.GetManifestResourceStream(file)!);
        IReadOnlyList<TestCase> cases = CaseText.Parse(reader.ReadToEnd());
        using TranslatedRunner translated = new(RunnerVariants.Get(variant));
        DifferentialTester tester = new(fixture.Oracle, translated);
        foreach (TestCase test in cases)
        {
            tester.Check(test, test.Name);
        }

        Assert.NotEmpty(cases);
        Assert.True(tester.Passed, tester.Summary());
    }
}
