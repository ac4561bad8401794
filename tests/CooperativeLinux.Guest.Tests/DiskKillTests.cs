using System.Globalization;
using System.Security.Cryptography;
using System.Text.RegularExpressions;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Guest.Tests;

/// <summary>
/// A machine that is killed while it writes to ext4 on a raw disk and on an overlay, again and again on the same disks. COLINUX_TEST_SCALE
/// makes it 20 times, COLINUX_TEST_SEED repeats the moments.
/// </summary>
public sealed partial class DiskKillTests : IDisposable
{
    private const string Size = "96M";
    private const int LongestWork = 2500;
    private static readonly string[] s_names = ["raw", "over"];

    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-kill-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Kill_UnderWriteLoad_FileSystemsAreWholeAndWhatWasSynchronizedIsThere()
    {
        Assert.SkipUnless(HostTool.HasFileSystemTools, "needs e2fsprogs");
        int kills = TestScale.IsThorough ? 20 : 3;
        int seed = TestScale.Seed;
        Random random = new(seed);
        string raw = NewFileSystem("raw.img");
        string basis = NewFileSystem("base.img");
        string overlay = Path.Combine(_folder, "over.img");
        byte[] before = SHA256.HashData(File.ReadAllBytes(basis));
        Dictionary<string, string> expected = [];
        int total = 0;
        for (int round = 1; round <= kills; round++)
        {
            int work = random.Next(LongestWork);
            string where = string.Create(CultureInfo.InvariantCulture, $"seed {seed}, kill {round} after {work} ms");
            string output = KillAfter(work, round, raw, $"{basis},overlay={overlay}");

            // The guest deletes the files of the round before the last one.
            expected = expected.Where(file => file.Key.Contains($"/r{round - 1}/", StringComparison.Ordinal)).ToDictionary();
            foreach (Match line in Synchronized().Matches(output))
            {
                expected[$"{line.Groups[1].Value}/r{round}/{line.Groups[2].Value}"] = line.Groups[3].Value;
                total++;
            }

            Assert.All(s_names, name => Assert.Contains(expected.Keys, file => file.StartsWith($"{name}/r{round}/", StringComparison.Ordinal)));
            using (Disk rawDisk = RawDisk.Open(raw, isReadOnly: true))
            using (Disk overlayDisk = OverlayDisk.Open(overlay, basis, isReadOnly: true))
            {
                Check("raw", rawDisk, expected, where);
                Check("over", overlayDisk, expected, where);
            }
        }

        Assert.Equal(before, SHA256.HashData(File.ReadAllBytes(basis)));
        Console.WriteLine($"* {kills} machines killed while they wrote, seed {seed}: {total} files were reported as synchronized, and all were there");
    }

    /// <summary>Runs a machine that writes, and kills it.</summary>
    /// <returns>What it printed until then.</returns>
    private string KillAfter(int milliseconds, int round, params string[] disks)
    {
        // Mounting repairs what the last kill left. The reported files are new ones, some of them renamed; the load appends, truncates, deletes and discards.
        string script = $$"""
            modprobe ext4; dd if=/dev/urandom of=/tmp/noise bs=64k count=16 2>/dev/null;
            work() {
                mkdir /$1; mount -t ext4 -o errors=panic /dev/$2 /$1 || poweroff -f; cd /$1; rm -rf r{{round - 2}} load; mkdir r{{round}} load; sync;
                (while :; do dd if=/tmp/noise of=load/big bs=64k count=16 conv=notrunc seek=$((RANDOM % 300)) 2>/dev/null; done) &
                (while :; do for k in 1 2 3 4 5 6 7 8 9; do echo $k > load/s$k; mv load/s$k load/t$k; done; rm -f load/t*; done) &
                (while :; do sleep 0.3; fstrim .; : > load/big; done) &
                i=0; while :; do
                    i=$((i+1)); n=$((RANDOM * 4 % 200000)); sum=$(tail -c $((n+1)) /tmp/noise | tee /tmp/$1 | sha256sum | cut -d' ' -f1);
                    dd if=/tmp/$1 of=r{{round}}/f$i bs=16k conv=fsync 2>/dev/null;
                    if [ $((i % 4)) = 0 ]; then mv r{{round}}/f$i r{{round}}/g$i; sync; echo "synced $1 g$i $sum."; else echo "synced $1 f$i $sum."; fi;
                done;
            };
            work raw xvda & work over xvdb & wait
            """;
        using Colinux colinux = Colinux.Start(
            ["run", "-k", "6.1-cloud", "-m", "256M", .. disks.SelectMany(disk => (string[])["-d", disk]), "-d", ScriptDisk.Make(_folder, script), "-a", ScriptDisk.Command]);
        foreach (string name in s_names)
        {
            colinux.WaitFor($"synced {name} ");
        }

        Thread.Sleep(milliseconds);
        Assert.False(colinux.HasExited, colinux.Output + colinux.Errors);
        colinux.Signal("KILL");
        colinux.WaitForExit();
        Assert.Empty(colinux.Errors);
        return colinux.Output;
    }

    /// <summary>Lets the journal be replayed on a copy; the file system must be without a fault then, and have the files.</summary>
    private void Check(string name, Disk disk, Dictionary<string, string> expected, string where)
    {
        string copy = Path.Combine(_folder, "copy.img");
        string files = Path.Combine(_folder, "files");
        Copy(disk, copy);
        (int status, string text) = HostTool.Run("e2fsck", "-E", "journal_only", "-y", copy);
        Assert.True(status is 0 or 1, $"{where}: replaying the journal of {name} fails: {text}");
        (status, text) = HostTool.Run("e2fsck", "-f", "-n", copy);
        Assert.True(status == 0, $"{where}: {name} is damaged: {text}");
        Directory.CreateDirectory(files);
        try
        {
            foreach (string folder in expected.Keys.Select(file => file.Split('/')[1]).Distinct())
            {
                HostTool.Run("debugfs", "-R", $"rdump /{folder} {files}", copy);
            }

            foreach ((string file, string hash) in expected.Where(file => file.Key.StartsWith(name + "/", StringComparison.Ordinal)))
            {
                string path = Path.Combine(files, file[(name.Length + 1)..]);
                Assert.True(File.Exists(path), $"{where}: {file} was synchronized and is lost");
                Assert.True(hash == Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(path))), $"{where}: {file} was synchronized and has another content");
            }
        }
        finally
        {
            Directory.Delete(files, recursive: true);
        }
    }

    private static unsafe void Copy(Disk disk, string path)
    {
        byte[] bytes = new byte[1 << 20];
        using FileStream copy = File.Create(path);
        for (long offset = 0; offset < disk.Length; offset += bytes.Length)
        {
            fixed (byte* start = bytes)
            {
                disk.Read([new IoBuffer(start, bytes.Length)], offset);
            }

            copy.Write(bytes);
        }
    }

    private string NewFileSystem(string name)
    {
        string path = Path.Combine(_folder, name);
        HostTool.Do("mke2fs", "-q", "-t", "ext4", path, Size);
        return path;
    }

    [GeneratedRegex(@"^synced (raw|over) ([fg]\d+) ([0-9a-f]{64})\.$", RegexOptions.Multiline)]
    private static partial Regex Synchronized();
}
