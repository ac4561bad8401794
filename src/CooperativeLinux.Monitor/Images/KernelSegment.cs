namespace CooperativeLinux.Monitor.Images;

/// <summary>One piece of a kernel to be loaded.</summary>
/// <param name="PhysicalAddress">Pseudo-physical address of its first byte.</param>
/// <param name="Bytes">Content.</param>
/// <param name="MemorySize">Bytes in memory, at least as many; the rest is zero.</param>
public readonly record struct KernelSegment(ulong PhysicalAddress, ReadOnlyMemory<byte> Bytes, ulong MemorySize);
