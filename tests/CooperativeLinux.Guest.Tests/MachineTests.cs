using System.Diagnostics;
using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Machines with a disk of their own.</summary>
public sealed class MachineTests
{
    [Fact]
    public async Task Run_KernelOnTheDisk_Boots()
    {
        Assert.SkipUnless(File.Exists("/usr/sbin/mke2fs"), "needs e2fsprogs");
        CancellationToken cancellationToken = TestContext.Current.CancellationToken;
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(KernelFlavour.Cloud61, cancellationToken: cancellationToken);
        IReadOnlyList<string> initrds = await new DefaultGuest(cache).GetInitrdsAsync(kernel, cancellationToken: cancellationToken);
        DirectoryInfo folder = Directory.CreateTempSubdirectory("colinux-disk-");
        try
        {
            string content = Directory.CreateDirectory(Path.Combine(folder.FullName, "content", "boot")).Parent!.FullName;
            File.Copy(kernel.VmlinuzPath, Path.Combine(content, "boot", "vmlinuz-1"));
            File.CreateSymbolicLink(Path.Combine(content, "vmlinuz"), "boot/vmlinuz-1");
            await File.WriteAllBytesAsync(Path.Combine(content, "initrd.img"), [.. initrds.SelectMany(File.ReadAllBytes)], cancellationToken);
            string disk = Path.Combine(folder.FullName, "disk.img");
            using (Process mke2fs = Process.Start("/usr/sbin/mke2fs", ["-q", "-t", "ext4", "-d", content, disk, "64M"]))
            {
                await mke2fs.WaitForExitAsync(cancellationToken);
                Assert.Equal(0, mke2fs.ExitCode);
            }

            (int exitCode, string output, string errors) = Colinux.Run(
                "run", "-k", "disk", "-d", disk, "-m", "256M", "-a", "root= colinux.script=\"mount /dev/xvda /mnt; cmp /mnt/vmlinuz /mnt/boot/vmlinuz-1; uname -r\"");

            Assert.Equal((0, ""), (exitCode, errors));
            Assert.Equal((kernel.Release + "\n", 0), GuestScript.Parse(output));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData("bookworm")]
    [InlineData("trixie")]
    public void Create_Debian_BootsToALoginRestartsAndPowersOff(string release)
    {
        Assert.SkipUnless(TestScale.IsThorough && OperatingSystem.IsLinux(), "a long test: COLINUX_TEST_SCALE=2");
        string data = Directory.CreateTempSubdirectory("colinux-machines-").FullName;
        Environment.SetEnvironmentVariable("XDG_DATA_HOME", data);
        try
        {
            using (Colinux create = Colinux.Start("create", "test", "--release", release, "--size", "4G", "--packages", "file"))
            {
                Assert.Equal(0, create.WaitForExit(TimeSpan.FromMinutes(40)));
                Assert.Empty(create.Errors);
            }

            using Terminal terminal = new();
            using Colinux colinux = Colinux.StartOn(terminal, "run", "test");
            (int position, _) = colinux.WaitFor("root@test:~# ");
            terminal.Type("systemctl is-system-running --wait; echo $(. /etc/os-release; echo $VERSION_CODENAME) $(file -b /usr/bin/true | cut -c1-3); dpkg --audit; echo don\"e\"\r"u8);
            (int end, _) = colinux.WaitFor("done\n", position);
            Assert.Contains($"running\n{release} ELF\ndone", colinux.Output[position..end], StringComparison.Ordinal);
            terminal.Type("touch /root/kept; reboot\r"u8);
            (position, _) = colinux.WaitFor("reboot: Restarting system", end);
            (position, _) = colinux.WaitFor("root@test:~# ", position);
            terminal.Type("ls /root; poweroff\r"u8);
            Assert.Equal(0, colinux.WaitForExit());
            Assert.Contains("kept\n", colinux.Output[position..], StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable("XDG_DATA_HOME", null);
            Directory.Delete(data, recursive: true);
        }
    }
}
