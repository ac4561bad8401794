using System.Globalization;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>How much is tested, from the environment.</summary>
internal static class TestScale
{
    /// <summary>Name of the variable: 1 when absent; from 2 on, every kernel with every memory size.</summary>
    public const string Variable = "COLINUX_TEST_SCALE";

    /// <summary>Number that a random test begins with: <c>COLINUX_TEST_SEED</c>, or another one each time.</summary>
    public static int Seed =>
        int.TryParse(Environment.GetEnvironmentVariable("COLINUX_TEST_SEED"), CultureInfo.InvariantCulture, out int seed) ? seed : Environment.TickCount;

    /// <summary>Whether the long tier is wanted.</summary>
    public static bool IsThorough =>
        double.TryParse(Environment.GetEnvironmentVariable(Variable), CultureInfo.InvariantCulture, out double scale) && scale >= 2;
}
