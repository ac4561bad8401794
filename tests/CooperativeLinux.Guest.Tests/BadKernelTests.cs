using CooperativeLinux.Guest.Tests.Harness;
using CooperativeLinux.Guests.Images;
using CooperativeLinux.Guests.Kernels;
using CooperativeLinux.Guests.Storage;

namespace CooperativeLinux.Guest.Tests;

/// <summary>Kernels with a bug: what they run into is told by them, or by the machine if they cannot.</summary>
public sealed class BadKernelTests
{
    private const int GuestPanic = 4;
    private const int GuestCrash = 5;

    private const ulong Null = 0, NonCanonical = 0x8000_0000_0000_0000, DirectMap = 0xffff_8880_0010_0000, HypervisorHole = 0xffff_8000_0000_1000;

    [Theory]
    [InlineData(Null, "BUG: kernel NULL pointer dereference, address: 0000000000000000")]
    [InlineData(DirectMap, "#PF: error_code(0x0011) - permissions violation")]
    [InlineData(HypervisorHole, "BUG: unable to handle page fault for address: ffff800000001000")]
    [InlineData(NonCanonical, "general protection fault")]
    public async Task Execution_AtABadAddress_IsAnOopsThatTheGuestSurvives(ulong address, string words)
    {
        using PatchedKernel kernel = await PatchedKernel.WithSysrqJumpingToAsync(KernelFlavour.Cloud61, address);

        (int exitCode, string output, string errors) = Colinux.Run(
            ["run", "-k", kernel.Path, .. await DefaultInitrdsAsync(), "-m", "256M", "-a", "colinux.script=\"(echo c > /proc/sysrq-trigger); echo alive; dmesg\""]);

        Assert.Equal(0, exitCode);
        Assert.Empty(errors);
        (string text, int status) = Assert.NotNull(GuestScript.Parse(output));
        Assert.Equal(0, status);
        Assert.Contains("alive\n", text, StringComparison.Ordinal);
        Assert.Contains(words, text, StringComparison.Ordinal);
        Assert.Contains($"RIP: e030:0x{address:x}", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Execution_AtABadAddressWithPanicOnOops_EndsWithThePanic()
    {
        using PatchedKernel kernel = await PatchedKernel.WithSysrqJumpingToAsync(KernelFlavour.Cloud61, 0x1234_5678_9000);

        (int exitCode, string output, string errors) = Colinux.Run(
            ["run", "-k", kernel.Path, .. await DefaultInitrdsAsync(), "-m", "256M", "-a", "oops=panic colinux.script=\"echo c > /proc/sysrq-trigger\""]);

        Assert.Equal(GuestPanic, exitCode);
        Assert.Contains("BUG: unable to handle page fault for address: 0000123456789000", output, StringComparison.Ordinal);
        Assert.Contains("supervisor instruction fetch", output, StringComparison.Ordinal);
        Assert.StartsWith("colinux: the guest's kernel panicked: Kernel panic - not syncing: Fatal exception", errors, StringComparison.Ordinal);
        Assert.Equal(1, errors.Count(character => character == '\n'));
    }

    [Theory]
    [InlineData("jump to nowhere", "48 b8 00 90 78 56 34 12 00 00 ff e0", "exception 14", "address 0000123456789000")]
    [InlineData("ud2", "0f 0b", "exception 6", "")]
    [InlineData("no instruction", "06", "exception 6", "")]
    [InlineData("store to its own code", "48 89 05 f9 ff ff ff", "exception 14", "")]
    public async Task Entry_ThatFaults_CrashesWithReasonAndRegisters(string name, string code, string reason, string details)
    {
        byte[] bytes = Convert.FromHexString(code.Replace(" ", "", StringComparison.Ordinal));
        using PatchedKernel kernel = await PatchedKernel.WithEntryAsync(KernelFlavour.Cloud61, bytes);

        (int exitCode, _, string errors) = Colinux.Run("run", "-k", kernel.Path, "-m", "256M");

        Assert.True(exitCode == GuestCrash, $"{name}: exit code {exitCode}, {errors}");
        Assert.Contains("colinux: the guest crashed: ", errors, StringComparison.Ordinal);
        Assert.Contains(reason, errors, StringComparison.Ordinal);
        Assert.Contains(details, errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
    }

    private static async Task<string[]> DefaultInitrdsAsync()
    {
        GuestCache cache = GuestCache.ForUser();
        Kernel kernel = await new KernelStore(cache).GetAsync(KernelFlavour.Cloud61, cancellationToken: TestContext.Current.CancellationToken);
        IReadOnlyList<string> paths = await new DefaultGuest(cache).GetInitrdsAsync(kernel, cancellationToken: TestContext.Current.CancellationToken);
        return [.. paths.SelectMany(path => new[] { "-i", path })];
    }
}
