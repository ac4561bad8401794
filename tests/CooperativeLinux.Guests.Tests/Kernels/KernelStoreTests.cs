using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Packages;
using CooperativeLinux.Guests.Storage;
using CooperativeLinux.Guests.Tests.Packages;

namespace CooperativeLinux.Guests.Tests.Kernels;

public sealed class KernelStoreTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task GetAsync_EmptyCache_FetchesTheNewestOfTheSeries()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = new(folder);
        archive.AddKernel("6.1.0-9-amd64", "6.1.99-1");
        archive.AddKernel("6.1.0-10-amd64", "6.1.100-1");
        archive.AddKernel("6.12.1-amd64", "6.12.1-1");

        Kernel kernel = await new KernelStore(new GuestCache(folder.File("cache")), archive.Sources)
            .GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation);

        Assert.Equal("6.1.0-10-amd64", kernel.Release);
        Assert.Equal("kernel 6.1.0-10-amd64", await File.ReadAllTextAsync(kernel.VmlinuzPath, Cancellation));
        Assert.True(File.Exists(Path.Combine(kernel.ModulesPath, "modules.builtin")));
        Assert.True(File.Exists(kernel.ConfigPath));
    }

    [Fact]
    public async Task GetAsync_SecondCall_NeedsNoArchive()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = new(folder);
        archive.AddKernel("6.1.0-9-amd64", "6.1.99-1");
        KernelStore store = new(new GuestCache(folder.File("cache")), archive.Sources);
        Kernel first = await store.GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation);
        archive.Delete();

        Kernel second = await store.GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation);

        Assert.Equal(first, second);
    }

    [Fact]
    public async Task GetAsync_KernelThatCameWithTheProgram_IsTakenAndNothingIsWritten()
    {
        using TemporaryFolder folder = new();
        await File.WriteAllTextAsync(folder.File("guest/kernels/6.1-generic"), "6.1.0-9-amd64\n", Cancellation);
        await File.WriteAllTextAsync(folder.File("guest/kernels/by-release/6.1.0-9-amd64/vmlinuz"), "kernel", Cancellation);
        KernelStore store = new(new GuestCache(folder.File("cache"), folder.File("guest")));

        Kernel kernel = await store.GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation);

        Assert.Equal(folder.File("guest/kernels/by-release/6.1.0-9-amd64/vmlinuz"), kernel.VmlinuzPath);
        Assert.False(Directory.Exists(folder.File("cache")));
    }

    [Fact]
    public async Task GetAsync_TwoAtOnce_BothGetTheKernel()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = new(folder);
        archive.AddKernel("6.1.0-9-amd64", "6.1.99-1");
        string cache = folder.File("cache");

        Kernel[] kernels = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
            new KernelStore(new GuestCache(cache), archive.Sources).GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation))));

        Assert.All(kernels, kernel => Assert.True(File.Exists(kernel.VmlinuzPath)));
        Assert.Empty(Directory.GetFileSystemEntries(cache, ".tmp-*"));
    }

    [Fact]
    public async Task GetAsync_SeriesNotOffered_SaysSo()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = new(folder);
        archive.AddKernel("6.1.0-9-amd64", "6.1.99-1");
        KernelStore store = new(new GuestCache(folder.File("cache")), archive.Sources);

        GuestBuildException error = await Assert.ThrowsAsync<GuestBuildException>(
            () => store.GetAsync(KernelFlavour.Cloud612, cancellationToken: Cancellation));

        Assert.Contains("6.12-cloud", error.Message, StringComparison.Ordinal);
        Assert.Null(store.Find(KernelFlavour.Cloud612));
    }

    [Fact]
    public async Task GetAsync_DamagedPackage_LeavesNothingBehind()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = new(folder);
        archive.AddKernel("6.1.0-9-amd64", "6.1.99-1");
        archive.Truncate(folder.File("archive/linux-image-6.1.0-9-amd64_6.1.99-1_amd64.deb"));
        KernelStore store = new(new GuestCache(folder.File("cache")), archive.Sources);

        GuestBuildException error = await Assert.ThrowsAsync<GuestBuildException>(
            () => store.GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation));

        Assert.DoesNotContain('\n', error.Message);
        Assert.Null(store.Find(KernelFlavour.Generic61));
        Assert.Empty(Directory.GetFileSystemEntries(folder.File("cache"), ".tmp-*"));
    }

    [Fact]
    public async Task GetAsync_NoArchiveAtAll_IsOneClearError()
    {
        using TemporaryFolder folder = new();
        AptSource source = new(["copy:/nonexistent"], ["./"], [], new Dictionary<string, string> { ["Trusted"] = "yes" });
        KernelStore store = new(new GuestCache(folder.File("cache")), AptSourceChoice.OfList([source]));

        GuestBuildException error = await Assert.ThrowsAsync<GuestBuildException>(
            () => store.GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation));

        Assert.Contains("/nonexistent", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public async Task RefreshAsync_NewerInTheArchive_ReplacesTheCurrentOne()
    {
        using TemporaryFolder folder = new();
        LocalArchive archive = new(folder);
        archive.AddKernel("6.1.0-9-amd64", "6.1.99-1");
        KernelStore store = new(new GuestCache(folder.File("cache")), archive.Sources);
        await store.GetAsync(KernelFlavour.Generic61, cancellationToken: Cancellation);
        archive.AddKernel("6.1.0-10-amd64", "6.1.100-1");

        Kernel kernel = await store.RefreshAsync(KernelFlavour.Generic61, cancellationToken: Cancellation);

        Assert.Equal("6.1.0-10-amd64", kernel.Release);
        Assert.Equal(kernel, store.Find(KernelFlavour.Generic61));
    }

    [Theory]
    [InlineData("6.1", "6.1-generic")]
    [InlineData("6.12-cloud", "6.12-cloud")]
    [InlineData("6.1-generic", "6.1-generic")]
    public void TryParse_KnownForms_AreUnderstood(string text, string expected)
    {
        Assert.True(KernelFlavour.TryParse(text, out KernelFlavour flavour));
        Assert.Equal(expected, flavour.Name);
    }

    [Theory]
    [InlineData("")]
    [InlineData("6")]
    [InlineData("6.1-rt")]
    [InlineData("../6.1")]
    [InlineData("6.1-cloud\n")]
    public void TryParse_OtherText_IsRefused(string text)
    {
        Assert.False(KernelFlavour.TryParse(text, out _));
    }
}
