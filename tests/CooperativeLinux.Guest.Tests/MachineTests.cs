using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Machines with a disk of their own.</summary>
public sealed class MachineTests
{
    [Fact]
    public async Task Run_KernelOnTheDisk_Boots()
    {
        Assert.SkipUnless(SystemDisk.IsPossible, "needs e2fsprogs");
        DirectoryInfo folder = Directory.CreateTempSubdirectory("colinux-disk-");
        try
        {
            string disk = Path.Combine(folder.FullName, "disk.img");
            Kernel kernel = await SystemDisk.CreateAsync(disk, KernelFlavour.Cloud61, TestContext.Current.CancellationToken);

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

            string project = WriteProject(data);
            using Terminal terminal = new();
            using Colinux colinux = Colinux.StartOnIn(terminal, project, "run", "test");
            (int position, _) = colinux.WaitFor("root@test:~# ");
            terminal.Type("systemctl is-system-running --wait; echo $(. /etc/os-release; echo $VERSION_CODENAME) $(file -b /usr/bin/true | cut -c1-3); dpkg --audit; echo don\"e\"\r"u8);
            (int end, _) = colinux.WaitFor("done\n", position);
            Assert.Contains($"running\n{release} ELF\ndone", colinux.Output[position..end], StringComparison.Ordinal);

            // The network: what a developer does first in a new machine.
            end = Do("apt-get -q update && apt-get -q -y install build-essential git");
            end = Do("sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/debian.sources && apt-get -q update");

            // An archive may have the sources of the first version of a release but not of its updates.
            end = Do("for v in $(apt-cache showsrc zlib | sed -n 's/^Version: //p'); do apt-get -q source zlib=$v && break; done && cd zlib-*/");
            end = Do("./configure && make && make test && cd");

            // The current folder of the host is there, as in the default guest.
            end = Do("cd /mnt/host && git init -q && git add . && git -c user.name=t -c user.email=t@example.org commit -q -m first && git clone -q /mnt/host /root/project && cd");
            end = Do("make -C project && project/sum 40 2 && test $(project/sum 40 2) = 42");
            Assert.True(Directory.Exists(Path.Combine(project, ".git")));
            end = Do("test \"$(systemctl is-system-running)\" = running");

            // Commands from outside while it runs in the foreground.
            Assert.Equal((0, $"{release}\n", ""), Colinux.Run("exec", "test", "--", "sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"));
            terminal.Type("touch /root/kept; reboot\r"u8);
            (position, _) = colinux.WaitFor("reboot: Restarting system", end);
            (position, _) = colinux.WaitFor("root@test:~# ", position);
            // A pattern, so that the echo of the line is not taken for the answer.
            terminal.Type("ls /root/kep?; poweroff\r"u8);
            Assert.Equal(0, colinux.WaitForExit());
            Assert.Contains("/root/kept\n", colinux.Output[position..], StringComparison.Ordinal);

            int Do(string commands)
            {
                // The status is computed, so that the echo of the line is not taken for it.
                terminal.Type(System.Text.Encoding.ASCII.GetBytes($"{commands}; echo status-$((1000 + $?))\r"));
                (int at, _) = colinux.WaitFor("status-1", end, TimeSpan.FromMinutes(30));
                (int lineEnd, _) = colinux.WaitFor("\n", at);
                Assert.True(colinux.Output[at..lineEnd] == "000\n", $"{commands}:\n{colinux.Output[end..]}");
                return lineEnd;
            }
        }
        finally
        {
            Environment.SetEnvironmentVariable("XDG_DATA_HOME", null);
            Directory.Delete(data, recursive: true);
        }
    }

    /// <summary>A program of several files, as a folder of the host.</summary>
    private static string WriteProject(string data)
    {
        string folder = Directory.CreateDirectory(Path.Combine(data, "project")).FullName;
        File.WriteAllText(Path.Combine(folder, "Makefile"), "sum: main.o add.o\n\t$(CC) -o $@ $^\nmain.o add.o: add.h\n");
        File.WriteAllText(Path.Combine(folder, "add.h"), "int add(int a, int b);\n");
        File.WriteAllText(Path.Combine(folder, "add.c"), "#include \"add.h\"\nint add(int a, int b) { return a + b; }\n");
        File.WriteAllText(
            Path.Combine(folder, "main.c"),
            "#include <stdio.h>\n#include <stdlib.h>\n#include \"add.h\"\nint main(int n, char **a) { printf(\"%d\\n\", add(atoi(a[1]), atoi(a[n - 1]))); return 0; }\n");
        return folder;
    }
}
