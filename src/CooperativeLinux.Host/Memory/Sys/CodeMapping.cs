namespace CooperativeLinux.Host.Memory.Sys;

/// <summary>The host's side of a <see cref="CodeMemory"/>.</summary>
internal abstract unsafe class CodeMapping : IDisposable
{
    /// <summary>First byte of the first guard.</summary>
    public byte* Start { get; protected init; }

    /// <summary>Writable view of the code.</summary>
    public byte* CodeWritable { get; protected init; }

    /// <summary>Unmaps everything. Called once.</summary>
    public abstract void Dispose();
}
