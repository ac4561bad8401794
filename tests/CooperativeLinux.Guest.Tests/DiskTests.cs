using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.RegularExpressions;
using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Disks of stock kernels: what arrives on the host, what stays, and what is given back.</summary>
public sealed partial class DiskTests : IDisposable
{
    private const int Failed = 1;
    private const long Mebibyte = 1 << 20;

    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;

    [Fact]
    public void Disk_Raw_HoldsFilesSystemsAndIsARoot()
    {
        string root = NewDisk("root.img", 64);
        string raw = NewDisk("raw,1.img", 16);

        string output = Script(
            """
            cd /; mke2fs -F /dev/xvda >/dev/null; modprobe ext4; mkdir /m; mount -t ext4 /dev/xvda /m;
            cd /m; mkdir bin sbin dev proc sys run; cp /colinux/busybox bin; head -c 5000000 /dev/urandom > data;
            (echo '#!/bin/busybox sh'; echo 'b=/bin/busybox; echo root $($b grep -c xvda./ /proc/mounts); echo sum $($b sha256sum /data); $b sync; $b poweroff -f') > sbin/init;
            chmod 755 sbin/init; echo sum $(sha256sum data); head -c 32000000 /dev/urandom > large; sync; rm large; sync; fstrim /m; cd /; umount /m;
            head -c 4194304 /dev/urandom | dd of=/dev/xvdb bs=64k conv=fsync 2>/dev/null; echo raw $(dd if=/dev/xvdb bs=1M count=4 iflag=direct 2>/dev/null | sha256sum);
            echo scheduler $(cat /sys/block/xvda/queue/scheduler)
            """,
            "-d", root, "-d", raw.Replace(",", ",,", StringComparison.Ordinal));

        Assert.Equal("[none]", Word(output, "scheduler"));

        // The same bytes on the host; 32 MB were written and discarded again.
        byte[] content = new byte[4 * Mebibyte];
        using (DiskFile file = DiskFile.Open(raw, isWritable: false))
        {
            file.Read(content, 0);
            Assert.Equal(16 * Mebibyte, file.Length);
        }

        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(content)), Word(output, "raw"));
        using (DiskFile file = DiskFile.Open(root, isWritable: false))
        {
            Assert.InRange(file.AllocatedLength, 5_000_000, 20_000_000);
        }

        (int exitCode, string console, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "-m", "256M", "-d", root, "-a", "root=/dev/xvda rw rootfstype=ext4");
        Assert.True(exitCode == 0, console + errors);
        Assert.Equal(Word(output, "sum"), Word(console, "sum"));
    }

    [Fact]
    public void Disk_WithOverlayOrReadOnly_StaysAsItIs()
    {
        string basis = NewDisk("base.img", 16);
        string locked = NewDisk("locked.img", 16);
        string overlay = Path.Combine(_folder, "over.img");
        using (DiskFile file = DiskFile.Open(basis, isWritable: true))
        {
            file.Write("from the base\n"u8, 8192);
        }

        byte[] before = SHA256.HashData(File.ReadAllBytes(basis));
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M", "-d", $"{basis},overlay={overlay},name=xvdc", "-d", $"{locked},ro");
        (int position, _) = colinux.WaitFor(Colinux.Prompt);

        // Others may read what is only read, and nothing else.
        (int exitCode, _, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "-d", overlay);
        Assert.Equal(Failed, exitCode);
        Assert.Equal($"colinux: {overlay} is in use by another machine or program\n", errors);
        (exitCode, _, errors) = Colinux.Run("run", "-k", "6.1-cloud", "-d", basis);
        Assert.Equal(Failed, exitCode);
        Assert.Contains("is in use", errors, StringComparison.Ordinal);

        colinux.Type("dd if=/dev/xvdc bs=4k skip=2 count=1 2>/dev/null | head -1; echo new | dd of=/dev/xvdc conv=fsync 2>/dev/null; dd if=/dev/zero of=/dev/xvda count=1; reboot -f\n");
        (position, _) = colinux.WaitFor("from the base", position);
        (position, _) = colinux.WaitFor("dd: ", position);
        (position, _) = colinux.WaitFor(Colinux.Prompt, position);
        colinux.Type("echo read $(head -c 3 /dev/xvdc); poweroff -f\n");
        Assert.Equal(0, colinux.WaitForExit());

        Assert.Contains("read new", colinux.Output[position..], StringComparison.Ordinal);
        Assert.Equal(before, SHA256.HashData(File.ReadAllBytes(basis)));
        Assert.False(File.ReadAllBytes(locked).AsSpan().ContainsAnyExcept((byte)0));
    }

    public static bool HasImageTool => File.Exists("/usr/bin/qemu-img");

    [Fact(Skip = "qemu-img is not installed (Debian: qemu-utils)", SkipUnless = nameof(HasImageTool))]
    public void Disk_Qcow2Image_IsReadAndAnOverlayOverItWritten()
    {
        string raw = Path.Combine(_folder, "raw.img");
        string image = Path.Combine(_folder, "image.qcow2");
        byte[] content = new byte[8 * Mebibyte];
        Random.Shared.NextBytes(content.AsSpan(0, content.Length / 2));
        File.WriteAllBytes(raw, content);
        using (Process convert = Process.Start("/usr/bin/qemu-img", ["convert", "-c", "-O", "qcow2", raw, image]))
        {
            convert.WaitForExit();
            Assert.Equal(0, convert.ExitCode);
        }

        byte[] before = File.ReadAllBytes(image);
        string output = Script(
            "cd /; echo image $(sha256sum /dev/xvda); echo new | dd of=/dev/xvdb conv=fsync 2>/dev/null; echo over $(head -c 3 /dev/xvdb); echo rest $(tail -c +4097 /dev/xvdb | sha256sum)",
            "-d", $"{image},ro", "-d", $"{image},overlay={_folder}/over.img");

        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(content)), Word(output, "image"));
        Assert.Equal("new", Word(output, "over"));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(content.AsSpan(4096))), Word(output, "rest"));
        Assert.Equal(before, File.ReadAllBytes(image));
        (int exitCode, _, string errors) = Colinux.Run("run", "-k", "6.1-cloud", "-d", image);
        Assert.Equal(Failed, exitCode);
        Assert.StartsWith($"colinux: {image} is a qcow2 image, which is read but not written: ", errors, StringComparison.Ordinal);
        (exitCode, output, _) = Colinux.Run("disk", "info", image);
        Assert.Equal(0, exitCode);
        Assert.Contains("qcow2, version 3, read-only", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Disk_ProcessKilled_HasWhatTheGuestSynchronized()
    {
        string raw = NewDisk("raw.img", 16);
        string basis = NewDisk("base.img", 16);
        string overlay = Path.Combine(_folder, "over.img");
        using Colinux colinux = Colinux.Start(
            "run", "-k", "6.1-cloud", "-m", "256M", "-d", raw, "-d", $"{basis},overlay={overlay}",
            "-a", "colinux.script=\"i=0; while :; do i=$((i+1)); for d in xvda xvdb; do printf %4096d $i | dd of=/dev/$d bs=4096 seek=$i conv=fsync 2>/dev/null; done; echo done $i; done\"");
        colinux.WaitFor("done 20\n");
        Thread.Sleep(Random.Shared.Next(300));

        colinux.Signal("KILL");
        colinux.WaitForExit();

        int last = Done().Matches(colinux.Output).Max(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));
        using Disk rawDisk = RawDisk.Open(raw, isReadOnly: true);
        using Disk overlayDisk = OverlayDisk.Open(overlay, basis, isReadOnly: true);
        for (int i = 1; i <= last; i++)
        {
            string expected = i.ToString(CultureInfo.InvariantCulture).PadLeft(4096);
            Assert.Equal(expected, ReadText(rawDisk, i * 4096));
            Assert.Equal(expected, ReadText(overlayDisk, i * 4096));
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static unsafe string ReadText(Disk disk, long offset)
    {
        byte[] bytes = new byte[4096];
        fixed (byte* start = bytes)
        {
            disk.Read([new IoBuffer(start, bytes.Length)], offset);
        }

        return System.Text.Encoding.ASCII.GetString(bytes);
    }

    private static string Script(string script, params string[] arguments)
    {
        (int exitCode, string output, string errors) = Colinux.Run(
            ["run", "-k", "6.1-cloud", "-m", "256M", .. arguments, "-a", $"colinux.script=\"{script.ReplaceLineEndings(" ")}\""]);
        Assert.True(exitCode == 0, output + errors);
        Assert.Empty(errors);
        return output;
    }

    private static string Word(string output, string after)
    {
        string line = output.Split('\n').FirstOrDefault(line => line.StartsWith(after + " ", StringComparison.Ordinal)) ?? throw new InvalidOperationException($"no '{after}' in:\n{output}");
        return line.Split(' ')[1];
    }

    private string NewDisk(string name, int mebibytes)
    {
        string path = Path.Combine(_folder, name);
        (int exitCode, _, string errors) = Colinux.Run("disk", "create", path, "--size", $"{mebibytes}M");
        Assert.True(exitCode == 0, errors);
        return path;
    }

    [GeneratedRegex(@"^done (\d+)$", RegexOptions.Multiline)]
    private static partial Regex Done();
}
