using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;
using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images;

/// <summary>Debian's kernels as packaged, from the user's cache; one that is not there is fetched first.</summary>
internal static class KernelFiles
{
    /// <summary>The vmlinuz of a tested flavour, such as "6.12-cloud".</summary>
    public static async Task<string> GetAsync(string name)
    {
        Assert.True(KernelFlavour.TryParse(name, out KernelFlavour flavour));
        return (await new KernelStore(GuestCache.ForUser()).GetAsync(flavour, cancellationToken: TestContext.Current.CancellationToken)).VmlinuzPath;
    }
}
