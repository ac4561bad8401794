namespace CooperativeLinux.Guests.Machines;

/// <summary>
/// A guest that installs Debian: it is booted with these images, an empty disk as the first and the archive as the second. It says
/// on its console how far it is (<see cref="InstallationProgress"/>), and switches off.
/// </summary>
/// <param name="KernelPath">The kernel.</param>
/// <param name="InitrdPaths">The parts of its initramfs.</param>
/// <param name="ArchivePath">The packages: the second disk, read-only.</param>
/// <param name="PackageCount">Packages to install.</param>
/// <param name="EssentialCount">Packages unpacked and installed first, which are part of them.</param>
public sealed record DebianRootInstallation(
    string KernelPath, IReadOnlyList<string> InitrdPaths, string ArchivePath, int PackageCount, int EssentialCount)
{
    /// <summary>The guest's memory, in bytes.</summary>
    public const long MemoryBytes = 1L << 30;

    /// <summary>The kernel's command line.</summary>
    public const string CommandLine = "console=hvc0 quiet colinux.net=none";
}
