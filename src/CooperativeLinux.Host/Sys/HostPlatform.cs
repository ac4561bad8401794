using CooperativeLinux.Host.Disks;
using CooperativeLinux.Host.Faults.Sys;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Host.Memory.Sys;
using CooperativeLinux.Host.Timing;
using CooperativeLinux.Host.Terminals.Sys;

namespace CooperativeLinux.Host.Sys;

/// <summary>Makes the parts that differ between host operating systems. The only place that asks which one it is.</summary>
internal abstract class HostPlatform
{
    /// <summary>The platform this process runs on.</summary>
    /// <exception cref="PlatformNotSupportedException">Neither Linux nor Windows.</exception>
    public static HostPlatform Create()
    {
        if (OperatingSystem.IsWindows())
        {
            return new WindowsPlatform();
        }

        return OperatingSystem.IsLinux()
            ? new LinuxPlatform()
            : throw new PlatformNotSupportedException("Cooperative Linux runs on Linux and Windows.");
    }

    /// <summary>Whether this process, as it was started, can run guests.</summary>
    /// <returns>One line that says what is in the way, null if nothing is.</returns>
    public abstract string? CheckProcess();

    /// <summary>See <see cref="HostAllocation.AllocateSparse"/>; the size is positive.</summary>
    public abstract HostAllocation AllocateSparse(ulong size, bool largePages);

    /// <summary>See <see cref="HostAllocation.ExpectFill"/>.</summary>
    public abstract unsafe void AdviseLargePages(byte* start, nuint length);

    /// <summary>See <see cref="CodeMemory.Create"/>; sizes are multiples of <see cref="CodeMemory.Granularity"/>.</summary>
    public abstract CodeMapping MapCode(nuint dataSize, nuint codeSize);

    /// <summary>How faults reach the fault door.</summary>
    public abstract IFaultInstaller CreateFaultInstaller();

    /// <summary>See <see cref="PreciseEvent.Create"/>.</summary>
    public abstract PreciseEvent CreatePreciseEvent();

    /// <summary>The process's standard input and output.</summary>
    public abstract TerminalDevice CreateTerminalDevice();

    /// <summary>See <see cref="DiskFile.Open"/>, and for a new one <see cref="DiskFile.Create"/>.</summary>
    public abstract DiskFile OpenDisk(string path, bool isWritable, bool isNew);

    /// <summary>See <see cref="Processes.HostProcess.Detach"/>.</summary>
    public abstract void DetachProcess();

    /// <summary>See <see cref="Processes.HostProcess.KeepStandardStreams"/>.</summary>
    public abstract void KeepStandardStreams();
}
