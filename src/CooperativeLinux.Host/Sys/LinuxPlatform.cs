using CooperativeLinux.Host.Faults.Sys;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Host.Memory.Sys;
using CooperativeLinux.Host.Timing;
using CooperativeLinux.Host.Timing.Sys;

namespace CooperativeLinux.Host.Sys;

/// <summary>The parts for Linux.</summary>
internal sealed class LinuxPlatform : HostPlatform
{
    /// <inheritdoc/>
    public override HostAllocation AllocateSparse(ulong size) => new LinuxHostAllocation(size);

    /// <inheritdoc/>
    public override CodeMapping MapCode(nuint dataSize, nuint codeSize) => LinuxCodeMapping.Create(dataSize, codeSize);

    /// <inheritdoc/>
    public override IFaultInstaller CreateFaultInstaller() => new LinuxFaultInstaller();

    /// <inheritdoc/>
    public override PreciseEvent CreatePreciseEvent() => new LinuxPreciseEvent();
}
