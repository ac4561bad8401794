using System.Globalization;
using System.Text.RegularExpressions;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>A long test of disks with Debian's own programs: fio verifies what it wrote, and PostgreSQL keeps what it committed.</summary>
public sealed partial class DatabaseTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Database_MachineKilledUnderLoad_HasWhatWasCommitted()
    {
        Assert.SkipUnless(TestScale.IsThorough && OperatingSystem.IsLinux() && HostTool.HasFileSystemTools, "a long test: COLINUX_TEST_SCALE=2, and e2fsprogs");
        int seed = TestScale.Seed;
        string disk = Path.Combine(_folder, "disk.img");
        HostTool.Do("mke2fs", "-q", "-t", "ext4", disk, "1G");
        string image = await new RootImageBuilder(GuestCache.ForUser()).GetAsync(
            new RootImageOptions { Packages = ["fio", "postgresql", "util-linux"] }, cancellationToken: TestContext.Current.CancellationToken);
        string script = ScriptDisk.Make(_folder, await File.ReadAllTextAsync(Path.Combine(AppContext.BaseDirectory, "Data", "database.sh"), TestContext.Current.CancellationToken));
        string[] arguments = ["run", "-k", "6.1-cloud", "-i", image, "-m", "2G", "-d", disk, "-d", script, "-a", $"colinux.script=\"sh /dev/xvdz /dev/xvda {seed}\""];

        string output;
        using (Colinux colinux = Colinux.Start(arguments))
        {
            int position = 0;
            for (int part = 0; part < 4; part++)
            {
                (position, _) = colinux.WaitFor("fio ok ", position);
            }

            colinux.WaitFor("told 20.\n", position);
            Thread.Sleep(new Random(seed).Next(2000));
            colinux.Signal("KILL");
            colinux.WaitForExit();
            output = colinux.Output;
        }

        int told = Told().Matches(output).Max(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));
        (int exitCode, string second, string errors) = Colinux.Run(arguments);
        Assert.True(exitCode == 0 && errors.Length == 0, second + errors);
        Match count = Count().Match(second);
        Assert.True(count.Success && second.Contains("difference 0 0\n", StringComparison.Ordinal) && second.Contains("dump ok\n", StringComparison.Ordinal), $"seed {seed}: {second}");
        Assert.InRange(int.Parse(count.Groups[1].Value, CultureInfo.InvariantCulture), told, told + 1);
        Assert.Equal(count.Groups[1].Value, count.Groups[2].Value);
        Assert.Contains("unmounted", second, StringComparison.Ordinal);
        HostTool.Do("e2fsck", "-f", "-n", disk);
    }

    [GeneratedRegex(@"^told (\d+)\.$", RegexOptions.Multiline)]
    private static partial Regex Told();

    [GeneratedRegex(@"^count (\d+) (\d+)$", RegexOptions.Multiline)]
    private static partial Regex Count();
}
