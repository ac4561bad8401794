using System.Globalization;
using System.Text.RegularExpressions;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Stock kernels from start to power off.</summary>
public sealed partial class BootTests
{
    /// <summary>Cloud kernels with little memory, generic ones with much; the other half in the long tier.</summary>
    public static IEnumerable<TheoryDataRow<string, int>> Machines()
    {
        foreach (KernelFlavour flavour in KernelFlavour.Tested)
        {
            foreach (int mebibytes in (int[])[256, 2048])
            {
                if (TestScale.IsThorough || flavour.IsCloud == (mebibytes == 256))
                {
                    yield return new TheoryDataRow<string, int>(flavour.Name, mebibytes);
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void Run_StockKernel_BootsWithoutComplaintAndPowersOff(string flavour, int mebibytes)
    {
        (int exitCode, string output, string errors) = Colinux.Run(
            "run", "-k", flavour, "-m", $"{mebibytes}M", "-a", "colinux.script=\"uname -r; cat /proc/meminfo; dmesg -r\"");

        (string text, int status) = Assert.NotNull(GuestScript.Parse(output));
        Assert.Equal(0, status);
        Assert.Equal(0, exitCode);
        Assert.Empty(errors);
        Assert.True(KernelFlavour.TryParse(flavour, out KernelFlavour parsed));
        Assert.StartsWith(new KernelStore(GuestCache.ForUser()).Find(parsed)!.Release + "\n", text, StringComparison.Ordinal);
        long total = long.Parse(MemTotal().Match(text).Groups[1].Value, CultureInfo.InvariantCulture) / 1024;

        // The kernel keeps its own image, its page structures (1.6 %) and per-CPU data to itself.
        Assert.InRange(total, (mebibytes * 0.95) - 60, mebibytes);
        Assert.Contains("Booting kernel on Xen", text, StringComparison.Ordinal);
        Assert.Equal([], KernelLog.Complaints(text));
    }

    /// <summary>The harness has everything verified in all tests; here it shows that this is so.</summary>
    [Fact]
    public void Run_Guest_HasEveryBlockVerified()
    {
        (int exitCode, _, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "-m", "256M", "--trace", "statistics", "-a", "colinux.script=true");

        Assert.Equal(0, exitCode);
        long made = Count(errors, "BlocksTranslated") + Count(errors, "BlocksMoved");
        Assert.InRange(made, 10_000, long.MaxValue);
        Assert.Equal(made, Count(errors, "BlocksVerified"));
    }

    private static long Count(string statistics, string name) =>
        long.Parse(Regex.Match(statistics, $"^{name} +([0-9]+)$", RegexOptions.Multiline).Groups[1].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^MemTotal: +(\d+) kB$", RegexOptions.Multiline)]
    private static partial Regex MemTotal();
}
