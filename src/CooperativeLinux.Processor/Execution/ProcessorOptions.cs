namespace CooperativeLinux.Processor.Execution;

/// <summary>Sizes and stress switches of the processor.</summary>
public sealed record ProcessorOptions
{
    /// <summary>Bytes of translated code kept per vCPU, half of them for each mode; what a mode has is dropped when its half is full.</summary>
    public int CodeCacheSize { get; init; } = 64 << 20;

    /// <summary>Most guest instructions in a block; 1 for tests. 1 to 256.</summary>
    public int MaxBlockInstructions { get; init; } = 64;

    /// <summary>Uses no stack windows: every stack access goes through the TLB.</summary>
    public bool NoStackWindows { get; init; }

    /// <summary>Every access is resolved in managed code and every block has one instruction.</summary>
    public bool AlwaysCareful { get; init; }

    /// <summary>Empties the TLB at every managed callback.</summary>
    public bool FlushAlways { get; init; }

    /// <summary>Translates code anew at each address where a process maps it, instead of copying blocks.</summary>
    public bool NeverMove { get; init; }

    /// <summary>Does not look for user code that runs often.</summary>
    public bool NeverSample { get; init; }

    /// <summary>Gives every access site of user code an entry of the inline TLB at once, while there are any; not only where code runs often.</summary>
    public bool AlwaysHot { get; init; }

    /// <summary>Runs the independent verifier on every emitted block.</summary>
    public bool Verify { get; init; }
}
