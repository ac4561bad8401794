using CooperativeLinux.Processor.Tests.Generation;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests;

/// <summary>The cases: complete, repeatable, and able to show an error.</summary>
public sealed class CaseGeneratorTests(NativeRunnerFixture fixture, ITestOutputHelper output)
{
    private const int CasesPerInstruction = 12;

    [Fact]
    public void Generate_EveryComparedInstruction_GivesCases()
    {
        CaseGenerator generator = new(TestScale.Seed);

        List<Code> without = [.. InstructionCatalogue.Compared.Where(code => generator.Generate(code, 0) is null)];

        Assert.Empty(without);
        Assert.InRange(InstructionCatalogue.Compared.Count, 1800, 3000);
    }

    /// <summary>Nothing that the guest can use escapes the comparison unnoticed.</summary>
    [Fact]
    public void Compared_HasEveryTranslatedForm()
    {
        IEnumerable<Code> forgotten = InstructionCatalogue.Translated.Except(InstructionCatalogue.Compared).Except(InstructionCatalogue.NotComparable);

        Assert.Equal("", string.Join(' ', forgotten));
        Assert.InRange(InstructionCatalogue.Translated.Count, 1800, 3000);
    }

    [Fact]
    public void Generate_SameSeed_GivesSameCase()
    {
        string first = CaseText.Format(new CaseGenerator(5).Generate(Code.Add_rm64_r64, 3)!);
        string second = CaseText.Format(new CaseGenerator(5).Generate(Code.Add_rm64_r64, 3)!);

        Assert.Equal(first, second);
    }

    [Fact]
    public void Format_ThenParse_GivesSameCase()
    {
        CaseGenerator generator = new(TestScale.Seed);
        foreach (Code code in (ReadOnlySpan<Code>)[Code.Cmpxchg_rm8_r8, Code.Fxrstor_m512byte, Code.VEX_Vpgatherqq_ymm_vm64y_ymm, Code.Retnq])
        {
            TestCase original = generator.Generate(code, 1)!;
            TestCase parsed = Assert.Single(CaseText.Parse(CaseText.Format(original)));

            Assert.Equal(CaseText.Format(original), CaseText.Format(parsed));
            Assert.Equal(original.Start.Memory, parsed.Start.Memory);
            Assert.Equal(original.Start.Registers, parsed.Start.Registers);
        }
    }

    [Fact]
    public void Parse_UnknownLine_IsRefused() => Assert.Throws<FormatException>(() => CaseText.Parse("case x\nnonsense 5"));

    /// <summary>What the processor does must not depend on what ran before, or no comparison would mean anything.</summary>
    [NativeFact]
    public void Run_EveryCaseTwice_GivesSameResult()
    {
        NativeRunner runner = fixture.Runner;
        CaseGenerator generator = new(TestScale.Seed) { CompareUndefinedFlags = true, CompareFlagsOfFaults = true };
        SortedDictionary<string, int> counts = new(StringComparer.Ordinal);
        SortedDictionary<byte, int> vectors = [];
        List<string> failures = [];
        TestState first = new(), second = new();
        foreach (Code code in InstructionCatalogue.Compared)
        {
            for (int i = 0; i < CasesPerInstruction; i++)
            {
                TestCase test = generator.Generate(code, i)!;
                first.CopyFrom(test.Start);
                runner.Run(first);
                second.CopyFrom(test.Start);
                runner.Run(second);
                string group = InstructionCatalogue.Group(code);
                counts[group] = counts.GetValueOrDefault(group) + 1;
                vectors[first.Outcome.Vector] = vectors.GetValueOrDefault(first.Outcome.Vector) + 1;
                if (first.Outcome.Kind != OutcomeKind.Exception || !StateComparer.AreEqual(test, first, second))
                {
                    failures.Add(CaseText.Format(test) + string.Join("\n", StateComparer.Differences(test, first, second)) + $"\nfirst {first.Outcome} rip {first.Rip:x}");
                }
            }
        }

        output.WriteLine($"seed {TestScale.Seed:x}; {string.Join(", ", counts.Select(pair => $"{pair.Key} {pair.Value}"))}");
        output.WriteLine($"outcomes by vector: {string.Join(", ", vectors.Select(pair => $"#{pair.Key} {pair.Value}"))}");
        failures.Take(5).ToList().ForEach(output.WriteLine);
        Assert.Empty(failures);
        Assert.True(vectors[3] > vectors.Values.Sum() / 2, "Most cases should run to their end.");
        Assert.All((byte[])[0, 3, 6, 13, 14, 16, 19], vector => Assert.Contains(vector, vectors.Keys));
    }

    [Theory]
    [InlineData("register")]
    [InlineData("flags")]
    [InlineData("memory")]
    [InlineData("vector")]
    [InlineData("x87")]
    [InlineData("outcome")]
    public void AreEqual_OneChange_IsSeen(string what)
    {
        TestCase test = new CaseGenerator(1).Generate(Code.Paddb_mm_mmm64, 0)!;
        TestState changed = new();
        changed.CopyFrom(test.Start);
        Dictionary<string, Action> changes = new()
        {
            ["register"] = () => changed.Registers[9] ^= 1ul << 40,
            ["flags"] = () => changed.Rflags ^= 0x10,
            ["memory"] = () => changed.Memory[^1] ^= 1,
            ["vector"] = () => changed.Vectors[511] ^= 0x80,
            ["x87"] = () => changed.X87[32] ^= 1,
            ["outcome"] = () => changed.Outcome = new Outcome(OutcomeKind.Exception, 14, 4, 5),
        };
        Assert.True(StateComparer.AreEqual(test, test.Start, changed));
        Assert.Empty(StateComparer.Differences(test, test.Start, changed));

        changes[what]();

        Assert.False(StateComparer.AreEqual(test, test.Start, changed));
        Assert.Single(StateComparer.Differences(test, test.Start, changed));
    }
}
