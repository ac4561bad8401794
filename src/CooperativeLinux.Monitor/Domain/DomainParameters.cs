namespace CooperativeLinux.Monitor.Domain;

/// <summary>What a domain is built with, apart from its kernel.</summary>
public sealed record DomainParameters
{
    /// <summary>Bytes of RAM the guest starts with, a multiple of 4096.</summary>
    public required ulong MemorySize { get; init; }

    /// <summary>The kernel's command line; at most 1023 bytes of UTF-8.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>
    /// The initial RAM disk: archives that are read from their current positions to their ends and handed to the
    /// kernel one behind the other, each aligned to 4 bytes as the kernel wants it. They must be seekable.
    /// </summary>
    public IReadOnlyList<Stream> InitialRamDisk { get; init; } = [];

    /// <summary>The guest's event channel port for xenstore.</summary>
    public required uint StorePort { get; init; }

    /// <summary>The guest's event channel port for the console; 0: no console.</summary>
    public required uint ConsolePort { get; init; }
}
