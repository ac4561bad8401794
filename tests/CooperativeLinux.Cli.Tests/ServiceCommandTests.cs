using CooperativeLinux.Cli.Services;

namespace CooperativeLinux.Cli.Tests;

public sealed class ServiceCommandTests
{
    [Fact]
    public void Identifier_KnownService_IsTheOneWindowsHas()
    {
        // The owner of Windows' own files.
        ServiceAccount account = new("TrustedInstaller");

        Assert.Equal(@"NT SERVICE\TrustedInstaller", account.Name);
        Assert.Equal("S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464", account.Identifier);
    }

    [Theory]
    [InlineData("remove")]
    [InlineData("run --data /nowhere")]
    public async Task Service_NotOnWindows_SaysSo(string arguments)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "not on Windows");
        ConsoleRun run = new();

        Assert.Equal(ExitCode.Failed, await run.RunAsync(["service", .. arguments.Split(' '), "box"]));

        Assert.Equal(["colinux: services are of Windows; elsewhere let the system's own service manager start 'colinux run NAME'"], run.ErrorLines);
    }
}
