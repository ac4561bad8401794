using System.Globalization;

namespace CooperativeLinux.Processor.Tests;

/// <summary>How much the randomised tests do, from the environment.</summary>
internal static class TestScale
{
    /// <summary>Name of the variable that multiplies the number of cases; 1 when absent, below 1 for less.</summary>
    public const string ScaleVariable = "COLINUX_TEST_SCALE";

    /// <summary>Name of the variable that sets the seed, hexadecimal.</summary>
    public const string SeedVariable = "COLINUX_TEST_SEED";

    /// <summary>Name of the variable that switches the verifier off (0), to see what translated code does that it rejects.</summary>
    public const string VerifyVariable = "COLINUX_TEST_VERIFY";

    private const ulong DefaultSeed = 0x00C0_FFEE;

    /// <summary>The seed of this run.</summary>
    public static ulong Seed => ulong.TryParse(Environment.GetEnvironmentVariable(SeedVariable), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong seed) ? seed : DefaultSeed;

    /// <summary>Whether every emitted block is verified.</summary>
    public static bool Verify => Environment.GetEnvironmentVariable(VerifyVariable) != "0";

    /// <summary>A count for this run, at least 1.</summary>
    public static int Count(int usual)
    {
        bool given = double.TryParse(Environment.GetEnvironmentVariable(ScaleVariable), CultureInfo.InvariantCulture, out double scale);
        return Math.Max(1, (int)(usual * (given ? scale : 1)));
    }
}
