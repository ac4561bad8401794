using CooperativeLinux.Guest.Tests.Harness;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Files and terminals of the host that give out while a guest uses them: one line says so, and the guest goes on.</summary>
public sealed class HostResourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("colinux-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Files_CutOffAndFull_AreToldAndTheGuestGoesOn()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/dev/full");
        string cut = Path.Combine(_folder, "cut.img");
        File.WriteAllBytes(cut, new byte[8 << 20]);
        using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M", "--log", "/dev/full", "-d", cut);
        colinux.WaitFor(Colinux.Prompt);

        HostTool.Do("truncate", "-s", "1M", cut);
        colinux.Type("for at in 0 1 5; do dd if=/dev/xvda of=/dev/null bs=1M skip=$at count=1 iflag=direct 2> /dev/null; echo read-$((10 + $?)); done; echo still $((40 + 2)); exit\n");

        Assert.Equal(0, colinux.WaitForExit());
        string[] reads = [.. colinux.Output.Split('\n').Where(line => line.StartsWith("read-1", StringComparison.Ordinal))];
        Assert.Equal(["read-10", "read-11", "read-11"], reads);
        Assert.Contains("\nstill 42\n", colinux.Output, StringComparison.Ordinal);
        Assert.Equal(
            [
                "colinux: the log /dev/full ends here, the guest goes on: No space left on device : '/dev/full'",
                $"colinux: Disk xvda: {cut} was cut off on the host and is shorter than the disk; the guest gets an error",
            ],
            colinux.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public void Disk_FileSystemOfTheHostFull_GivesErrorsUntilThereIsRoom()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess, "mounts a small file system, as root");
        HostTool.Do("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", _folder);
        try
        {
            string ballast = Path.Combine(_folder, "ballast");
            File.WriteAllBytes(ballast, new byte[6 << 20]);
            string disk = Path.Combine(_folder, "disk.img");
            using (FileStream file = File.Create(disk))
            {
                file.SetLength(64 << 20);
            }

            using Colinux colinux = Colinux.Start("run", "-k", "6.1-cloud", "-m", "256M", "-d", disk);
            (int position, _) = colinux.WaitFor(Colinux.Prompt);
            const string Write = "dd if=/dev/urandom of=/dev/xvda bs=64k count=48 conv=fsync 2> /dev/null; echo write-$((10 + $?))\n";
            colinux.Type(Write);
            (position, _) = colinux.WaitFor("write-11", position);
            File.Delete(ballast);
            colinux.Type(Write + "exit\n");
            colinux.WaitFor("write-10", position);

            Assert.Equal(0, colinux.WaitForExit());
            Assert.Equal($"colinux: Disk xvda: cannot write {disk}: No space left on device; the guest gets an error\n", colinux.Errors);
        }
        finally
        {
            HostTool.Run("umount", "--lazy", _folder);
        }
    }
}
