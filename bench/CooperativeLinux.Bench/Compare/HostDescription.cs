using System.Globalization;
using System.Runtime.InteropServices;

namespace CooperativeLinux.Bench.Compare;

/// <summary>What the numbers were measured on.</summary>
internal static class HostDescription
{
    public static string Create()
    {
        string model = Field("/proc/cpuinfo", "model name") ?? RuntimeInformation.ProcessArchitecture.ToString();
        string memory = Field("/proc/meminfo", "MemTotal")?.Split(' ')[0] is string kib && long.TryParse(kib, CultureInfo.InvariantCulture, out long size)
            ? $"{size / 1024 / 1024} GiB"
            : "unknown";
        bool isVirtual = Field("/proc/cpuinfo", "flags")?.Split(' ').Contains("hypervisor") == true;
        string system = ReadRelease() ?? RuntimeInformation.OSDescription;
        return $"{model}, {Environment.ProcessorCount} processors{(isVirtual ? ", a virtual machine" : "")}, {memory} of memory, {system}, kernel {Environment.OSVersion.Version}";
    }

    private static string? Field(string path, string name) => File.Exists(path)
        ? File.ReadLines(path).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?.Split(':', 2)[1].Trim()
        : null;

    private static string? ReadRelease() => File.Exists("/etc/os-release")
        ? File.ReadLines("/etc/os-release").FirstOrDefault(line => line.StartsWith("PRETTY_NAME=", StringComparison.Ordinal))?[12..].Trim('"')
        : null;
}
