namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>The host's side of a <see cref="CodeMemory"/>.</summary>
internal abstract unsafe class CodeMapping : IDisposable
{
    /// <summary>First byte of the first guard.</summary>
    public byte* Start { get; protected init; }

    /// <summary>Writable view of the code.</summary>
    public byte* CodeWritable { get; protected init; }

    /// <summary>Has the host bring in pages of both views. A hint.</summary>
    /// <param name="offset">First byte of the code, a multiple of the page size.</param>
    /// <param name="length">Bytes, a multiple of the page size.</param>
    public virtual void BringIn(nuint offset, nuint length)
    {
    }

    /// <summary>Unmaps everything. Called once.</summary>
    public abstract void Dispose();
}
