using System.Diagnostics;
using System.Text;
using CooperativeLinux.Guests.Files;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guests.Tests.Kernels;

public sealed class ModuleArchiveTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void Parse_Modinfo_GivesDependenciesAndAliases()
    {
        KernelModule module = KernelModule.Parse(ElfModule.Create(
            "license=GPL", "alias=xen:vbd", "alias=xenblk", "depends=cdrom,x-y", "softdep=pre: crc32c-a b post: c"));

        Assert.Equal(["cdrom", "x_y"], module.Dependencies);
        Assert.Equal(["crc32c_a", "b"], module.SoftDependencies);
        Assert.Equal(["xen:vbd", "xenblk"], module.Aliases);
    }

    [Fact]
    public void Parse_DamagedFiles_AreRefused()
    {
        byte[] good = ElfModule.Create("depends=");
        Assert.Throws<InvalidDataException>(() => KernelModule.Parse(good.AsSpan(0, 70)));
        Assert.Throws<InvalidDataException>(() => KernelModule.Parse("#!/bin/sh"u8));
        good[0x28 + 7] = 0x7F;
        Assert.Throws<InvalidDataException>(() => KernelModule.Parse(good));
    }

    [Fact]
    public async Task CreateTreeAsync_Dependencies_ComeAlongInLoadingOrder()
    {
        using TemporaryFolder folder = new();
        Write("fs/ext4.ko", "depends=mbcache,jbd2", "softdep=pre: crc32c", "alias=fs-ext4");
        Write("fs/jbd2.ko", "depends=mbcache");
        Write("fs/mbcache.ko", "depends=");
        Write("lib/crc32c.ko", "depends=");
        Write("lib/unrelated.ko", "depends=");
        Kernel kernel = new("1.2.3", folder.Path);

        FileTree tree = await ModuleArchive.CreateTreeAsync(kernel, ["ext4", "not-there"], Cancellation);

        Assert.NotNull(tree.Find("usr/lib/modules/1.2.3/kernel/lib/crc32c.ko"));
        Assert.Null(tree.Find("usr/lib/modules/1.2.3/kernel/lib/unrelated.ko"));
        Assert.Contains("kernel/fs/ext4.ko: kernel/fs/jbd2.ko kernel/fs/mbcache.ko\n", Text(tree, "modules.dep"), StringComparison.Ordinal);
        Assert.Equal("alias fs-ext4 ext4\n", Text(tree, "modules.alias"));
        Assert.Equal("softdep ext4 pre: crc32c\n", Text(tree, "modules.softdep"));

        void Write(string path, params string[] info)
        {
            File.WriteAllBytes(folder.File("modules/kernel/" + path), ElfModule.Create(info));
        }
    }

    [Fact]
    public async Task GetAsync_CompressedModules_AreUnpackedIntoTheArchive()
    {
        using TemporaryFolder folder = new();
        byte[] module = ElfModule.Create("depends=", "alias=xen:vif");
        string file = folder.File("kernel/modules/kernel/net/xen-netfront.ko");
        await File.WriteAllBytesAsync(file, module, Cancellation);
        using (Process xz = Process.Start("xz", [file]))
        {
            await xz.WaitForExitAsync(Cancellation);
        }

        string archive = await new ModuleArchive(new GuestCache(folder.File("cache")))
            .GetAsync(new Kernel("1.2.3", folder.File("kernel")), cancellationToken: Cancellation);

        CpioReader.Entry entry = Assert.Single(
            CpioReader.Read(await File.ReadAllBytesAsync(archive, Cancellation)),
            e => e.Path == "usr/lib/modules/1.2.3/kernel/net/xen-netfront.ko");
        Assert.Equal(module, entry.Content);
    }

    [Fact]
    public async Task CreateTreeAsync_NoModules_SaysSo()
    {
        await Assert.ThrowsAsync<GuestBuildException>(
            () => ModuleArchive.CreateTreeAsync(new Kernel("1.2.3", "/nonexistent"), ["ext4"], Cancellation));
    }

    private static string Text(FileTree tree, string name)
    {
        return Encoding.UTF8.GetString(tree.Find("usr/lib/modules/1.2.3/" + name)!.Content.Span);
    }
}
