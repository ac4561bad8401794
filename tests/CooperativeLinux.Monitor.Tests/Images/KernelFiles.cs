using Xunit;

namespace CooperativeLinux.Monitor.Tests.Images;

/// <summary>
/// Debian's kernels as packaged: the files vmlinuz-* in the folder that COLINUX_TEST_KERNELS names, or anywhere in
/// the cache folder. Without them tests are skipped on a developer's machine and fail in CI.
/// </summary>
internal static class KernelFiles
{
    /// <summary>The newest-named file of a series ("6.1", "6.12") and flavour ("amd64", "cloud-amd64").</summary>
    public static string Find(string series, string flavour)
    {
        string? kernel = List().LastOrDefault(path => IsKind(Path.GetFileName(path), series, flavour));
        if (kernel == null)
        {
            string message = $"no vmlinuz-{series}*-{flavour}; set COLINUX_TEST_KERNELS to a folder that has one";
            Assert.SkipWhen(Environment.GetEnvironmentVariable("CI") == null, message);
            Assert.Fail(message);
        }

        return kernel;
    }

    private static IEnumerable<string> List()
    {
        string? folder = Environment.GetEnvironmentVariable("COLINUX_TEST_KERNELS");
        if (!string.IsNullOrEmpty(folder))
        {
            return Directory.EnumerateFiles(folder, "vmlinuz-*").Order(StringComparer.Ordinal);
        }

        string cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        string ours = Path.Combine(cache, "colinux");
        return Directory.Exists(ours)
            ? Directory.EnumerateFiles(ours, "vmlinuz-*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            : [];
    }

    private static bool IsKind(string name, string series, string flavour) =>
        name.StartsWith($"vmlinuz-{series}.", StringComparison.Ordinal)
        && name.EndsWith($"-{flavour}", StringComparison.Ordinal)
        && name.Contains("cloud", StringComparison.Ordinal) == flavour.Contains("cloud", StringComparison.Ordinal)
        && !name.Contains("-rt-", StringComparison.Ordinal);
}
