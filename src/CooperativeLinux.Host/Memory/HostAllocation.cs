namespace CooperativeLinux.Host.Memory;

/// <summary>A page-aligned region of host address space that is released when disposed.</summary>
public abstract unsafe class HostAllocation : IDisposable
{
    /// <summary>First byte.</summary>
    public abstract byte* Pointer { get; }

    /// <summary>Bytes.</summary>
    public abstract ulong Size { get; }

    /// <summary>Reserves readable, writable, zero-filled memory that takes host memory only where it is touched.</summary>
    /// <exception cref="OutOfMemoryException">The host refuses; the message names the call and its error.</exception>
    public static HostAllocation AllocateSparse(ulong size) => throw new NotImplementedException();

    /// <inheritdoc/>
    public abstract void Dispose();
}
