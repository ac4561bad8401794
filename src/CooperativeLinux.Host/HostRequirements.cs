using System.Runtime.InteropServices;
using CooperativeLinux.Host.Processor;
using CooperativeLinux.Host.Sys;

namespace CooperativeLinux.Host;

/// <summary>What a host must have.</summary>
public static class HostRequirements
{
    // Linux: the oldest kernel the .NET runtime names for its distributions. Windows: 10, 1607, likewise; it is also the first
    // whose console takes and gives escape sequences. Of what is used where there is it, high-resolution timers need 1803.
    private static readonly Version OldestLinux = new(4, 18);
    private static readonly Version OldestWindows = new(10, 0, 14393);

    /// <summary>Checks processor and operating system.</summary>
    /// <returns>One line that says what is missing, null if nothing is.</returns>
    public static string? Check()
    {
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
        {
            return $"Cooperative Linux needs an x86-64 process; this one is {RuntimeInformation.ProcessArchitecture}.";
        }

        return CheckSystem(OperatingSystem.IsWindows(), OperatingSystem.IsLinux(), Environment.OSVersion.Version)
            ?? CheckProcessor(HostProcessor.Read())
            ?? HostPlatform.Create().CheckProcess();
    }

    /// <summary>Checks the operating system.</summary>
    internal static string? CheckSystem(bool isWindows, bool isLinux, Version version)
    {
        if (!isWindows && !isLinux)
        {
            return "Cooperative Linux runs on Linux and Windows.";
        }

        Version oldest = isWindows ? OldestWindows : OldestLinux;
        string name = isWindows ? "Windows 10, version 1607 (" + oldest + ")," : $"a Linux kernel of version {oldest}";
        return version >= oldest ? null : $"Cooperative Linux needs {name} or later; this is {version}.";
    }

    /// <summary>Checks the processor.</summary>
    internal static string? CheckProcessor(HostProcessor processor)
    {
        ProcessorFeatures missing = ProcessorFeatures.V3 & ~processor.Features;
        if (missing == ProcessorFeatures.None)
        {
            return null;
        }

        string names = string.Join(", ", Enum.GetValues<ProcessorFeatures>()
            .Where(feature => ulong.IsPow2((ulong)feature) && missing.HasFlag(feature))
            .Select(feature => feature switch
            {
                ProcessorFeatures.V2 => "SSE4.2 and POPCNT",
                ProcessorFeatures.OsXsave => "XSAVE enabled by the operating system",
                _ => feature.ToString().ToUpperInvariant(),
            }));
        string name = processor.Brand.Length != 0 ? processor.Brand : processor.Vendor;
        return $"Cooperative Linux needs a processor of level x86-64-v3; this one ({name}) lacks {names}.";
    }
}
