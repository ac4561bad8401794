using System.Diagnostics;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests.Harness;

/// <summary>An ext4 disk with a kernel and the default guest as /vmlinuz and /initrd.img, as Debian has them.</summary>
internal static class SystemDisk
{
    private const string Mke2fs = "/usr/sbin/mke2fs";

    /// <summary>Whether this host can make one.</summary>
    public static bool IsPossible => File.Exists(Mke2fs);

    /// <summary>Makes the disk.</summary>
    /// <param name="path">Its file.</param>
    /// <param name="flavour">The kernel.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The kernel that is on it.</returns>
    public static async Task<Kernel> CreateAsync(string path, KernelFlavour flavour, CancellationToken cancellationToken)
    {
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(flavour, cancellationToken: cancellationToken);
        IReadOnlyList<string> initrds = await new DefaultGuest(cache).GetInitrdsAsync(kernel, cancellationToken: cancellationToken);
        DirectoryInfo content = Directory.CreateTempSubdirectory("colinux-disk-");
        try
        {
            string boot = content.CreateSubdirectory("boot").FullName;
            File.Copy(kernel.VmlinuzPath, Path.Combine(boot, "vmlinuz-1"));
            File.CreateSymbolicLink(Path.Combine(content.FullName, "vmlinuz"), "boot/vmlinuz-1");
            await File.WriteAllBytesAsync(Path.Combine(content.FullName, "initrd.img"), [.. initrds.SelectMany(File.ReadAllBytes)], cancellationToken);
            using Process mke2fs = Process.Start(Mke2fs, ["-q", "-t", "ext4", "-d", content.FullName, path, "64M"]);
            await mke2fs.WaitForExitAsync(cancellationToken);
            Assert.Equal(0, mke2fs.ExitCode);
        }
        finally
        {
            content.Delete(recursive: true);
        }

        return kernel;
    }
}
