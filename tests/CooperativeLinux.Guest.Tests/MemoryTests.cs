using System.Globalization;
using System.Text.RegularExpressions;
using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>What a guest costs beyond its own memory.</summary>
public sealed partial class MemoryTests
{
    private const int GuestMebibytes = 256;

    [Fact]
    public void Prompt_Reached_OverheadIsBounded()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc");
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", $"{GuestMebibytes}M");
        colinux.WaitFor(Colinux.Prompt);

        (long guest, long rest) = Measure(colinux.Id);
        TestContext.Current.SendDiagnosticMessage($"guest memory {guest} kB, rest {rest} kB resident");

        // The guest's memory is found, and it does not count twice.
        Assert.InRange(guest, 20 * 1024, (GuestMebibytes + 1) * 1024);
        Assert.InRange(rest, 0, 150 * 1024);
    }

    /// <summary>Resident kB of the guest's memory, the one private mapping of its size, and of all else.</summary>
    private static (long Guest, long Others) Measure(int process)
    {
        long guest = 0;
        long rest = 0;
        bool isGuest = false;
        bool isSecondView = false;
        foreach (string line in File.ReadLines($"/proc/{process}/smaps"))
        {
            Match mapping = Mapping().Match(line);
            if (mapping.Success)
            {
                long size = Address(mapping.Groups[2]) - Address(mapping.Groups[1]);

                // Code is written through one view and executed through another: the same pages.
                isSecondView = mapping.Groups[3].Value == "rw-s" && mapping.Groups[4].Value.StartsWith("/memfd:colinux-code", StringComparison.Ordinal);
                isGuest = mapping.Groups[3].Value == "rw-p" && mapping.Groups[4].Length == 0 && size >> 20 is >= GuestMebibytes and < GuestMebibytes + 16;
            }
            else if (line.StartsWith("Rss:", StringComparison.Ordinal))
            {
                long size = long.Parse(line[4..^2], CultureInfo.InvariantCulture);
                guest += isGuest ? size : 0;
                rest += isGuest || isSecondView ? 0 : size;
            }
        }

        return (guest, rest);

        static long Address(Group group) => long.Parse(group.Value, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$")]
    private static partial Regex Mapping();
}
