using CooperativeLinux.Configuration;
using CooperativeLinux.Processor.Execution;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux;

/// <summary>What a machine is made of.</summary>
public sealed record MachineOptions
{
    /// <summary>The kernel: a stock <c>vmlinuz</c> as a distribution packages it.</summary>
    public required string KernelPath { get; init; }

    /// <summary>
    /// The initramfs: archives that are given to the kernel one after the other, each starting at a multiple of
    /// four bytes. None means that the kernel starts without.
    /// </summary>
    public IReadOnlyList<string> InitrdPaths { get; init; } = [];

    /// <summary>The kernel's command line, complete.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>The guest's memory in bytes, a multiple of 1 MiB.</summary>
    public long MemoryBytes { get; init; } = MemorySize.Default;

    /// <summary>The disks, in the order of their names.</summary>
    public IReadOnlyList<DiskOption> Disks { get; init; } = [];

    /// <summary>The network.</summary>
    public NetworkSetting Network { get; init; } = new();

    /// <summary>A file that receives what the guest writes to its console, or null.</summary>
    public string? LogPath { get; init; }

    /// <summary>Receives warnings: what a guest did wrong, what does not exist here.</summary>
    public ILoggerFactory Loggers { get; init; } = NullLoggerFactory.Instance;

    /// <summary>Sizes and stress switches of the processor.</summary>
    public ProcessorOptions Processor { get; init; } = new();

    /// <summary>What is traced to standard error.</summary>
    public TraceSubjects Trace { get; init; }
}
