namespace CooperativeLinux.Programs.Tests;

/// <summary>Debian's programs print in a guest what they print natively.</summary>
public sealed class BaseProgramTests(BaseRun run) : IClassFixture<BaseRun>
{
    public static TheoryData<string> Names => [.. ProgramRun.NamesIn(BaseRun.Tier)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Program_InGuest_PrintsWhatItPrintsNatively(string name)
    {
        run.AssertSame(name);
    }
}
