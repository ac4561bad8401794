using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Processor.Execution;

/// <summary>Kind of a memory access, for permission checks.</summary>
public enum AccessKind
{
    Read,
    Write,
    Execute,
}

/// <summary>One virtual processor: its state, its TLB, its translated code, and the loop that runs it.</summary>
public sealed unsafe partial class Vcpu : IDisposable
{
    /// <param name="memory">Guest memory, shared by all vCPUs of a machine.</param>
    /// <param name="environment">The monitor.</param>
    /// <param name="options">Stress switches and sizes.</param>
    public Vcpu(GuestMemory memory, IVcpuEnvironment environment, ProcessorOptions? options = null) => throw new NotImplementedException();

    /// <summary>The architectural state. Valid while the vCPU does not execute guest code (inside the environment's
    /// handlers, or when <see cref="Run"/> is not running).</summary>
    public VcpuState* State => throw new NotImplementedException();

    public GuestMemory Memory => throw new NotImplementedException();

    /// <summary>Runs guest code on the calling thread, from State, until <see cref="RequestStop"/>.</summary>
    public void Run() => throw new NotImplementedException();

    /// <summary>Asks for <see cref="IVcpuEnvironment.OnPoll"/> soon. Any thread.</summary>
    public void RequestPoll() => throw new NotImplementedException();

    /// <summary>Makes <see cref="Run"/> return soon, with the state between two instructions. Any thread.</summary>
    public void RequestStop() => throw new NotImplementedException();

    // ---- address translation

    /// <summary>Loads the page-table roots (frame numbers of the L4 tables) for kernel and user mode. 0 as user root: none.</summary>
    public void SetRoots(ulong kernelRoot, ulong userRoot) => throw new NotImplementedException();

    public ulong KernelRoot => throw new NotImplementedException();

    public ulong UserRoot => throw new NotImplementedException();

    /// <summary>Forgets all cached translations of the current roots (kernel half: of all roots).</summary>
    public void FlushTlb() => throw new NotImplementedException();

    /// <summary>Forgets all cached translations of all roots.</summary>
    public void FlushAllTlbs() => throw new NotImplementedException();

    /// <summary>Forgets one page in both current roots (kernel half: in all roots).</summary>
    public void FlushPage(ulong address) => throw new NotImplementedException();

    /// <summary>Tells that an entry of a page table was written by the monitor (mmu_update, update_va_mapping), so that exactly the
    /// translations that used the old entry are forgotten.</summary>
    /// <param name="entryAddress">Guest-physical address of the 8-byte entry.</param>
    public void OnPageTableEntryWritten(ulong entryAddress, ulong oldValue, ulong newValue) => throw new NotImplementedException();

    /// <summary>Marks a frame as page table of a level (1 to 4), or unmarks it (0). Kernel writes through read-only mappings of a marked
    /// level-1 frame are carried out and their effect on translations applied; other writes to read-only pages fault.
    /// Frames that the walker used as tables count as marked too.</summary>
    public void MarkPageTable(ulong frame, int level) => throw new NotImplementedException();

    // ---- guest virtual memory, for the monitor; uses the current mode's root

    /// <summary>Translates an address. With <paramref name="asUser"/> false kernel rights are used. Sets accessed and dirty bits as an access does.</summary>
    /// <param name="physical">Guest-physical address (may be in a special frame).</param>
    /// <param name="fault">The page fault to deliver if the result is false.</param>
    public bool TryTranslate(ulong address, AccessKind kind, bool asUser, out ulong physical, out GuestException fault) => throw new NotImplementedException();

    /// <summary>Reads virtual memory with kernel rights. All or nothing.</summary>
    public bool TryReadVirtual(ulong address, Span<byte> destination, out GuestException fault) => throw new NotImplementedException();

    public bool TryReadVirtual<T>(ulong address, out T value, out GuestException fault) where T : unmanaged => throw new NotImplementedException();

    /// <summary>Writes virtual memory with kernel rights. All or nothing.</summary>
    public bool TryWriteVirtual(ulong address, ReadOnlySpan<byte> source, out GuestException fault) => throw new NotImplementedException();

    public bool TryWriteVirtual<T>(ulong address, T value, out GuestException fault) where T : unmanaged => throw new NotImplementedException();

    /// <summary>Reads with the rights of the current mode, for operands of instructions the monitor carries out.</summary>
    public bool TryReadOperand<T>(ulong address, out T value, out GuestException fault) where T : unmanaged => throw new NotImplementedException();

    public bool TryWriteOperand<T>(ulong address, T value, out GuestException fault) where T : unmanaged => throw new NotImplementedException();

    /// <summary>Linear address of an instruction's memory operand, from the current state.</summary>
    public ulong EffectiveAddress(in Iced.Intel.Instruction instruction) => throw new NotImplementedException();

    /// <summary>Reads a register by its Iced name (8 to 64-bit general registers), zero-extended.</summary>
    public ulong GetRegister(Iced.Intel.Register register) => throw new NotImplementedException();

    /// <summary>Writes a general register by its Iced name with the architecture's rules (32-bit writes zero-extend).</summary>
    public void SetRegister(Iced.Intel.Register register, ulong value) => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}

/// <summary>Sizes and stress switches of the processor.</summary>
public sealed record ProcessorOptions
{
    /// <summary>Bytes of translated code kept per vCPU.</summary>
    public int CodeCacheSize { get; init; } = 64 << 20;

    /// <summary>Most guest instructions in a block; 1 for tests.</summary>
    public int MaxBlockInstructions { get; init; } = 64;

    /// <summary>Runs the independent verifier on every emitted block.</summary>
    public bool Verify { get; init; }
}
