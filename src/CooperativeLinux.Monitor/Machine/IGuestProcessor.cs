using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// What the monitor needs of a vCPU's processor. <see cref="VcpuAdapter"/> implements it over the translator; tests
/// implement it over bare guest memory. No generic members: generic interface calls are slow, see
/// <see cref="GuestProcessorExtensions"/>.
/// </summary>
internal unsafe interface IGuestProcessor
{
    /// <summary>The architectural state; the address never changes.</summary>
    VcpuState* State { get; }

    /// <summary>Whether rdtsc in user mode comes to the monitor.</summary>
    bool HandsOverTimestamp { get; set; }

    void RequestPoll();

    void RequestStop();

    void SetRoots(ulong kernelRoot, ulong userRoot);

    void FlushTlb();

    void FlushAllTlbs();

    void FlushPage(ulong address);

    void OnPageTableEntryWritten(ulong entryAddress, ulong oldValue, ulong newValue);

    void MarkPageTable(ulong frame, int level);

    /// <summary>Translates with kernel rights in the current mode's tables.</summary>
    bool TryTranslate(ulong address, AccessKind kind, out ulong physical);

    /// <summary>Reads virtual memory with kernel rights in the current mode's tables, all or nothing.</summary>
    bool TryRead(ulong address, Span<byte> destination, out GuestException fault);

    /// <summary>Writes virtual memory with kernel rights in the current mode's tables, all or nothing.</summary>
    bool TryWrite(ulong address, ReadOnlySpan<byte> source, out GuestException fault);

    /// <summary>Reads 1, 2, 4 or 8 bytes with the rights of the current mode.</summary>
    bool TryReadOperand(ulong address, int size, out ulong value, out GuestException fault);

    /// <summary>Writes 1, 2, 4 or 8 bytes with the rights of the current mode.</summary>
    bool TryWriteOperand(ulong address, int size, ulong value, out GuestException fault);

    /// <summary>Linear address of the memory operand.</summary>
    ulong EffectiveAddress(in Instruction instruction);

    ulong GetRegister(Register register);

    void SetRegister(Register register, ulong value);
}

/// <summary>Typed reads and writes over the untyped ones.</summary>
internal static unsafe class GuestProcessorExtensions
{
    public static bool TryRead<T>(this IGuestProcessor processor, ulong address, out T value) where T : unmanaged
    {
        T buffer;
        bool done = processor.TryRead(address, new Span<byte>(&buffer, sizeof(T)), out _);
        value = done ? buffer : default;
        return done;
    }

    public static bool TryWrite<T>(this IGuestProcessor processor, ulong address, in T value) where T : unmanaged
    {
        fixed (T* source = &value)
        {
            return processor.TryWrite(address, new ReadOnlySpan<byte>(source, sizeof(T)), out _);
        }
    }
}
