using CooperativeLinux.Host.Disks;
using CooperativeLinux.Host.Disks.Sys;
using CooperativeLinux.Host.Faults.Sys;
using CooperativeLinux.Host.Memory;
using CooperativeLinux.Host.Memory.Sys;
using CooperativeLinux.Host.Timing;
using CooperativeLinux.Host.Timing.Sys;
using CooperativeLinux.Host.Terminals.Sys;

namespace CooperativeLinux.Host.Sys;

/// <summary>The parts for Windows.</summary>
internal sealed class WindowsPlatform : HostPlatform
{
    /// <inheritdoc/>
    public override string? CheckProcess() => WindowsRequirements.Check();

    /// <inheritdoc/>
    public override HostAllocation AllocateSparse(ulong size, bool largePages) => new WindowsHostAllocation(size);

    // Large pages of Windows need a privilege.
    public override unsafe void AdviseLargePages(byte* start, nuint length)
    {
    }

    /// <inheritdoc/>
    public override CodeMapping MapCode(nuint dataSize, nuint codeSize) => WindowsCodeMapping.Create(dataSize, codeSize);

    /// <inheritdoc/>
    public override IFaultInstaller CreateFaultInstaller() => new WindowsFaultInstaller();

    /// <inheritdoc/>
    public override PreciseEvent CreatePreciseEvent() => new WindowsPreciseEvent();

    /// <inheritdoc/>
    public override TerminalDevice CreateTerminalDevice() => WindowsTerminalDevice.OpenStandard();

    /// <inheritdoc/>
    public override DiskFile OpenDisk(string path, bool isWritable, bool isNew) => WindowsDiskFile.Open(path, isWritable, isNew);

    /// <inheritdoc/>
    public override void DetachProcess()
    {
    }

    /// <inheritdoc/>
    public override void KeepStandardStreams() => WindowsStandardHandles.Keep();
}
