using System.Runtime.Versioning;
using CooperativeLinux.Host.Disks;
using CooperativeLinux.Host.Disks.Sys;
using CooperativeLinux.Host.Faults.Sys;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Host.Memory.Sys;
using CooperativeLinux.Host.Timing;
using CooperativeLinux.Host.Timing.Sys;
using CooperativeLinux.Host.Terminals.Sys;

namespace CooperativeLinux.Host.Sys;

/// <summary>The parts for Linux.</summary>
[SupportedOSPlatform("linux")]
internal sealed class LinuxPlatform : HostPlatform
{
    /// <inheritdoc/>
    public override string? CheckProcess() => null;

    /// <inheritdoc/>
    public override HostAllocation AllocateSparse(ulong size, bool largePages) => new LinuxHostAllocation(size, largePages);

    public override unsafe void AdviseLargePages(byte* start, nuint length)
    {
        nint first = ((nint)start + HostAllocation.PageSize - 1) & -HostAllocation.PageSize;
        nint end = (nint)(start + length) & -HostAllocation.PageSize;
        if (end - first >= HostAllocation.LargePageSize)
        {
            _ = LinuxMemoryCalls.Advise(first, (nuint)(end - first), LinuxMemoryCalls.AdviseHugePage);
        }
    }

    /// <inheritdoc/>
    public override CodeMapping MapCode(nuint dataSize, nuint codeSize) => LinuxCodeMapping.Create(dataSize, codeSize);

    /// <inheritdoc/>
    public override IFaultInstaller CreateFaultInstaller() => new LinuxFaultInstaller();

    /// <inheritdoc/>
    public override PreciseEvent CreatePreciseEvent() => new LinuxPreciseEvent();

    /// <inheritdoc/>
    public override TerminalDevice CreateTerminalDevice() => LinuxTerminalDevice.OpenStandard();

    /// <inheritdoc/>
    public override DiskFile OpenDisk(string path, bool isWritable, bool isNew) => LinuxDiskFile.Open(path, isWritable, isNew);

    /// <inheritdoc/>
    public override void DetachProcess()
    {
        if (LinuxProcessCalls.CreateSession() < 0)
        {
            throw HostCallException.FromLast("setsid");
        }
    }

    /// <inheritdoc/>
    public override void KeepStandardStreams()
    {
    }
}
