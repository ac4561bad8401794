using System.Diagnostics;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Storage;
using CooperativeLinux.Guests.Tests.Packages;

namespace CooperativeLinux.Guests.Tests.Images;

public sealed class ImageTests
{
    private const string Busybox = "#!/bin/sh\nprintf 'bin/sh\\nusr/bin/dpkg\\nusr/bin/awk\\nsbin/modprobe\\n'\n";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("init.sh")]
    [InlineData("poweroff.sh")]
    [InlineData("udhcpc.sh")]
    public async Task Scripts_Syntax_IsAcceptedByTheShell(string name)
    {
        using Stream script = typeof(DefaultGuest).Assembly.GetManifestResourceStream("CooperativeLinux.Guests.Images.Scripts." + name)!;
        using Process shell = Process.Start(new ProcessStartInfo("sh", ["-n"]) { RedirectStandardInput = true })!;
        await script.CopyToAsync(shell.StandardInput.BaseStream, Cancellation);
        shell.StandardInput.Close();
        await shell.WaitForExitAsync(Cancellation);

        Assert.Equal(0, shell.ExitCode);
    }

    [Fact]
    public async Task GetBaseAsync_Archive_HasWhatTheKernelStarts()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = CreateArchive(folder);
        DefaultGuest guest = new(new GuestCache(folder.File("cache")), archive.Sources);

        string path = await guest.GetBaseAsync(cancellationToken: Cancellation);
        archive.Delete();
        string again = await guest.GetBaseAsync(cancellationToken: Cancellation);

        Dictionary<string, CpioReader.Entry> entries = CpioReader.Read(await File.ReadAllBytesAsync(path, Cancellation)).ToDictionary(e => e.Path);
        Assert.Equal(path, again);
        Assert.Equal(0x81ED, entries["init"].Mode);
        Assert.StartsWith("#!/colinux/busybox sh\n", entries["init"].Text, StringComparison.Ordinal);
        Assert.Equal((0x2180, 5, 1), (entries["dev/console"].Mode, entries["dev/console"].Major, entries["dev/console"].Minor));
        Assert.Equal("/colinux/busybox", entries["usr/bin/sh"].Text);
        Assert.Equal("/colinux/busybox", entries["usr/sbin/modprobe"].Text);
        Assert.False(entries.ContainsKey("usr/bin/dpkg"));
    }

    [Fact]
    public async Task GetAsync_PackagesWithDependencies_BecomeARoot()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = CreateArchive(folder);
        archive.AddPackage("mawk", "1", "Depends: libx\n", new Dictionary<string, string> { ["usr/bin/mawk"] = "awk" },
            "#!/bin/sh\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5\n");
        archive.AddPackage("libx", "1", "Multi-Arch: same\n", new Dictionary<string, string> { ["lib/x86_64-linux-gnu/libx.so.1"] = "x" });

        string path = await new RootImageBuilder(new GuestCache(folder.File("cache")), archive.Sources)
            .GetAsync(new RootImageOptions { Packages = ["mawk"] }, cancellationToken: Cancellation);

        Dictionary<string, CpioReader.Entry> entries = CpioReader.Read(await File.ReadAllBytesAsync(path, Cancellation)).ToDictionary(e => e.Path);
        Assert.Equal("/etc/alternatives/awk", entries["usr/bin/awk"].Text);
        Assert.Equal("/usr/bin/mawk", entries["etc/alternatives/awk"].Text);
        Assert.Equal("x", entries["usr/lib/x86_64-linux-gnu/libx.so.1"].Text);
        Assert.Equal("usr/lib", entries["lib"].Text);
        Assert.True(entries["etc/ld.so.cache"].Content.Length > 0);
        Assert.Equal("root:x:0:0::/root:/bin/sh\n", entries["etc/passwd"].Text);
        Assert.Contains("Package: libx\n", entries["var/lib/dpkg/status"].Text, StringComparison.Ordinal);
        Assert.Contains("/usr/bin/mawk\n", entries["var/lib/dpkg/info/mawk.list"].Text, StringComparison.Ordinal);
        Assert.True(entries.ContainsKey("var/lib/dpkg/info/libx:amd64.list"));
    }

    [Fact]
    public async Task GetAsync_UnknownPackage_IsOneClearError()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = CreateArchive(folder);

        GuestBuildException error = await Assert.ThrowsAsync<GuestBuildException>(
            () => new RootImageBuilder(new GuestCache(folder.File("cache")), archive.Sources)
                .GetAsync(new RootImageOptions { Packages = ["no-such-package"] }, cancellationToken: Cancellation));

        Assert.Contains("Unable to locate package no-such-package", error.Message, StringComparison.Ordinal);
    }

    private static LocalArchive CreateArchive(TemporaryFolder folder)
    {
        LocalArchive archive = new(folder);
        string busybox = folder.File("build/busybox-static-1/bin/busybox");
        File.WriteAllText(busybox, Busybox);
        File.SetUnixFileMode(busybox, (UnixFileMode)0b111_101_101);
        archive.AddPackage("busybox-static", "1", "", new Dictionary<string, string>());
        foreach (string name in (string[])["base-files", "dash", "coreutils", "libc-bin"])
        {
            archive.AddPackage(name, "1", "", new Dictionary<string, string>());
        }

        archive.AddPackage("base-passwd", "1", "", new Dictionary<string, string> { ["usr/share/base-passwd/passwd.master"] = "root:x:0:0::/root:/bin/sh\n" });
        return archive;
    }
}
