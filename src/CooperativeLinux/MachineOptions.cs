using CooperativeLinux.Commands;
using CooperativeLinux.Configuration;
using CooperativeLinux.Devices.FileShare;
using CooperativeLinux.Processor.Execution;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CooperativeLinux;

/// <summary>What a machine is made of.</summary>
public sealed record MachineOptions
{
    /// <summary>
    /// The kernel: a stock <c>vmlinuz</c> as a distribution packages it. Null: <c>/vmlinuz</c> and <c>/initrd.img</c> of the
    /// ext4 file system on the first disk, read at each boot.
    /// </summary>
    public required string? KernelPath { get; init; }

    /// <summary>
    /// The initramfs: archives that are given to the kernel one after the other, each starting at a multiple of
    /// four bytes. None means that the kernel starts without.
    /// </summary>
    public IReadOnlyList<string> InitrdPaths { get; init; } = [];

    /// <summary>The kernel's command line, complete.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>The guest's memory in bytes, a multiple of 1 MiB.</summary>
    public long MemoryBytes { get; init; } = MemorySize.Default;

    /// <summary>
    /// If set, the guest's memory is elastic: what it does not need goes back to the host, except this many bytes. It takes a
    /// guest that reports its memory (docs/control.md); others keep what they have touched.
    /// </summary>
    public long? LeastMemoryBytes { get; init; }

    /// <summary>The disks, in the order of their names.</summary>
    public IReadOnlyList<DiskOption> Disks { get; init; } = [];

    /// <summary>
    /// Receives what the guest writes to its console, in place of standard output; there is no input then. Null: the console is on
    /// standard input and output.
    /// </summary>
    public Stream? Output { get; init; }

    /// <summary>
    /// Whether the guest gets two more consoles, <c>/dev/hvc1</c> and <c>/dev/hvc2</c>, over which its agent runs commands
    /// (<see cref="Machine.RunAsync(GuestCommand, CancellationToken)"/>). Guests of ours have the agent.
    /// </summary>
    public bool TakesCommands { get; init; } = true;

    /// <summary>A path that names the machine for <see cref="Control.ControlClient"/>, in a folder that only its owner can use; null: it is controlled by
    /// nobody outside this process.</summary>
    public string? ControlPath { get; init; }

    /// <summary>The network.</summary>
    public NetworkSetting Network { get; init; } = new();

    /// <summary>Folders of the host that the guest can mount by their tags; needs a kernel with 9p over Xen.</summary>
    public IReadOnlyList<FileShareOptions> Shares { get; init; } = [];

    /// <summary>A file that receives what the guest writes to its console, or null.</summary>
    public string? LogPath { get; init; }

    /// <summary>How long a guest that is asked to end may take before it is switched off; zero: it is not asked.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Time of day: where the guest's clock starts, and what it is set to after the host slept.</summary>
    public TimeProvider WallClock { get; init; } = TimeProvider.System;

    /// <summary>Receives warnings: what a guest did wrong, what does not exist here.</summary>
    public ILoggerFactory Loggers { get; init; } = NullLoggerFactory.Instance;

    /// <summary>Sizes and stress switches of the processor.</summary>
    public ProcessorOptions Processor { get; init; } = new();

    /// <summary>What is traced to standard error.</summary>
    public TraceSubjects Trace { get; init; }
}
