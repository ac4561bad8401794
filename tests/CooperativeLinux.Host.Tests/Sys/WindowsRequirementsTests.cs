using CooperativeLinux.Host.Sys;
using Xunit;

namespace CooperativeLinux.Host.Tests.Sys;

public sealed class WindowsRequirementsTests
{
    private const string WindowsOnly = "Needs Windows or Wine.";

    public static bool IsWindows => OperatingSystem.IsWindows();

    [Fact]
    public void RequiredCalls_OfThisProject_AreFound()
    {
        (string Library, string Name)[] calls = [.. WindowsRequirements.RequiredCalls()];

        Assert.Contains(("kernel32", "MapViewOfFileEx"), calls);
        Assert.Contains(("kernel32", "ReadConsoleW"), calls);
        Assert.Contains(("kernel32", "SetWaitableTimer"), calls);
    }

    [Fact]
    public void DescribeShadowStack_Off_IsNothing() => Assert.Null(WindowsRequirements.DescribeShadowStack(0xFFFE));

    [Fact]
    public void DescribeShadowStack_On_SaysHowToTurnItOff()
    {
        string? line = WindowsRequirements.DescribeShadowStack(1);

        Assert.StartsWith("Windows has hardware-enforced stack protection on for this process", line, StringComparison.Ordinal);
        Assert.Contains("Exploit protection", line, StringComparison.Ordinal);
    }

    [Fact(Skip = WindowsOnly, SkipUnless = nameof(IsWindows))]
    public void Check_ThisProcess_Passes() => Assert.Null(WindowsRequirements.Check());

    [Fact(Skip = WindowsOnly, SkipUnless = nameof(IsWindows))]
    public void DescribeMissing_CallThatIsNowhere_NamesIt()
    {
        string? line = WindowsRequirements.DescribeMissing([("kernel32", "VirtualAlloc"), ("kernel32", "VirtualNowhere")]);

        Assert.StartsWith("This Windows lacks the call VirtualNowhere of kernel32", line, StringComparison.Ordinal);
    }
}
