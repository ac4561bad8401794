namespace CooperativeLinux.Programs.Tests;

/// <summary>Compilers and runtimes that make code as they run print in a guest what they print natively.</summary>
public sealed class HeavyProgramTests(HeavyRun run) : IClassFixture<HeavyRun>
{
    public static TheoryData<string> Names => [.. ProgramRun.NamesIn(HeavyRun.Tier)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Program_InGuest_PrintsWhatItPrintsNatively(string name)
    {
        Assert.SkipUnless(HeavyRun.IsAskedFor, HeavyRun.Reason);
        run.AssertSame(name);
    }
}
