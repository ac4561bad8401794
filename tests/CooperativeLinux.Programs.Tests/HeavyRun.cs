using System.Globalization;

namespace CooperativeLinux.Programs.Tests;

/// <summary>Compilers, language runtimes and the long test modules.</summary>
public sealed class HeavyRun : ProgramRun
{
    /// <summary>The folder with the programs.</summary>
    public const string Tier = "heavy";

    private const string ScaleVariable = "COLINUX_TEST_SCALE";

    public HeavyRun()
        : base(Tier, [.. BaseRun.Packages, "gcc", "libc6-dev", "golang-go", "nodejs"], "4G", TimeSpan.FromMinutes(60))
    {
    }

    /// <summary>Whether the environment asks for long tests.</summary>
    public static bool IsAskedFor =>
        double.TryParse(Environment.GetEnvironmentVariable(ScaleVariable), CultureInfo.InvariantCulture, out double scale) && scale >= 2;

    /// <summary>Why the long tests are left out.</summary>
    public const string Reason = $"set {ScaleVariable}=2 to run the compilers, go, node and the long python modules";

    private protected override bool IsWanted => IsAskedFor;
}
