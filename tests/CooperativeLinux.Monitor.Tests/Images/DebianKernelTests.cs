using CooperativeLinux.Monitor.Images;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images;

/// <summary>The stock kernels, whose headers and notes docs record; exact addresses differ between builds.</summary>
public sealed class DebianKernelTests
{
    [Theory]
    [InlineData("6.1-generic")]
    [InlineData("6.1-cloud")]
    [InlineData("6.12-generic")]
    [InlineData("6.12-cloud")]
    public async Task Load_DebianKernel_GivesItsNotes(string flavour)
    {
        KernelImage image = KernelImage.Load(await KernelFiles.GetAsync(flavour));

        XenNotes notes = image.Notes;
        Assert.Equal(0x1000000ul, image.PhysicalStart);
        Assert.InRange(image.PhysicalEnd, 0x3000000ul, 0x6000000ul);
        Assert.Equal(4, image.Segments.Count);
        Assert.All(image.Segments, segment => Assert.Equal(segment.MemorySize, (ulong)segment.Bytes.Length));
        Assert.InRange(notes.Entry, 0xffffffff83000000, 0xffffffff80000000 + image.PhysicalEnd);
        Assert.Equal(0xffffffff80000000, notes.VirtualBase);
        Assert.Equal(0ul, notes.PhysicalOffset);
        Assert.Null(notes.HypercallPage);
        Assert.Equal(0x8000000000ul, notes.InitialP2M);
        Assert.Equal(flavour.StartsWith("6.1-", StringComparison.Ordinal) ? 0xffff800000000000 : null, notes.HypervisorStart);
        Assert.True(notes.ModuleStartIsFrame);
        Assert.True(notes.CanCancelSuspend);
        Assert.Equal("linux", notes.GuestOS);
        Assert.Equal("2.6", notes.GuestVersion);
        Assert.Equal("xen-3.0", notes.XenVersion);
        Assert.Equal("generic", notes.Loader);
        Assert.Equal(XenFeatures.WritablePageTables, notes.RequiredFeatures);
        Assert.True(notes.SupportedFeatures.HasFlag(XenFeatures.WritablePageTables | XenFeatures.NotDirectMapped));
    }

    [Theory]
    [InlineData("6.1-generic")]
    [InlineData("6.1-cloud")]
    [InlineData("6.12-generic")]
    public async Task Load_DebianKernelCutShort_SaysTruncated(string flavour)
    {
        byte[] file = await File.ReadAllBytesAsync(await KernelFiles.GetAsync(flavour), TestContext.Current.CancellationToken);

        InvalidImageException exception =
            Assert.Throws<InvalidImageException>(() => KernelImage.Load(file.AsMemory(0, file.Length / 2)));

        Assert.Contains("truncated", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("6.1-generic")]
    [InlineData("6.12-generic")]
    public async Task Load_DebianKernelWithFlippedBit_SaysCorrupt(string flavour)
    {
        byte[] file = await File.ReadAllBytesAsync(await KernelFiles.GetAsync(flavour), TestContext.Current.CancellationToken);
        file[file.Length / 2] ^= 4;

        InvalidImageException exception = Assert.Throws<InvalidImageException>(() => KernelImage.Load(file));

        Assert.Contains("corrupt", exception.Message, StringComparison.Ordinal);
    }
}
