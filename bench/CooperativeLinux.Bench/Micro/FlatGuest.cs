using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace CooperativeLinux.Bench.Micro;

/// <summary>
/// A guest without a kernel: 64 MiB mapped with 4 KiB pages at address 0 and at <see cref="KernelBase"/>, and three
/// system calls.
/// </summary>
internal sealed unsafe class FlatGuest : IVcpuEnvironment, IDisposable
{
    /// <summary>Virtual address of physical 0 in kernel mode (where Linux has its direct map).</summary>
    public const ulong KernelBase = 0xFFFF_8880_0000_0000;

    /// <summary>Physical address and size of the code.</summary>
    public const ulong Code = 0x40_0000;
    public const int CodeSize = 0x80_0000;

    /// <summary>System call numbers. Every other number returns at once.</summary>
    public const int ExitCall = 0x1_0000, FlushCall = 0x1_0001;

    private const ulong Entry = 0x30_0000, StackTop = 0x3F_F000, Data = 0x100_0000, MemorySize = 64 << 20;
    private const ulong PageTableFrame = 0x10, PresentWritableUser = 7;

    private readonly ulong _base;
    private string? _failure;

    public FlatGuest(bool kernel, ProcessorOptions options)
    {
        _base = kernel ? KernelBase : 0;
        Memory = new GuestMemory(MemorySize);
        Cpu = new Vcpu(Memory, this, options);
        MapMemory();
        Cpu.SetRoots(1, 1);
        Cpu.State->UserMode = kernel ? 0u : 1u;
        WriteEntry();
    }

    public GuestMemory Memory { get; }

    public Vcpu Cpu { get; }

    public ulong CodeAddress => _base + Code;

    public ulong DataAddress => _base + Data;

    public void LoadCode(ReadOnlySpan<byte> code) => Memory.TryWrite(Code, code);

    public void LoadData(ReadOnlySpan<byte> data) => Memory.TryWrite(Data, data);

    /// <summary>Calls the code.</summary>
    /// <returns>What it left in rax.</returns>
    /// <exception cref="GuestFailedException">It raised an exception, or did not end within 20 s.</exception>
    public ulong Call(long iterations)
    {
        VcpuState* state = Cpu.State;
        state->Rip = _base + Entry;
        state->Rsp = _base + StackTop;
        state->Rdi = state->Rcx = DataAddress;
        state->Rsi = state->Rdx = (ulong)iterations;
        state->FsBase = DataAddress;
        using Timer watchdog = new(_ => Stop("did not end within 20 s"), null, 20_000, Timeout.Infinite);
        _failure = null;
        try
        {
            Cpu.Run();
        }
        catch (InvalidOperationException error)
        {
            throw new GuestFailedException(error.Message);
        }

        return _failure == null ? state->Rdx : throw new GuestFailedException(_failure);
    }

    /// <inheritdoc/>
    public void OnSyscall(Vcpu cpu)
    {
        switch (cpu.State->Rax)
        {
            case ExitCall:
                cpu.RequestStop();
                break;
            case FlushCall:
                cpu.FlushTlb();
                break;
            default:
                cpu.State->Rax = 1;
                break;
        }
    }

    /// <inheritdoc/>
    public void OnException(Vcpu cpu, in GuestException exception) =>
        Stop($"exception {exception.Vector} at {cpu.State->Rip - CodeAddress:x} of the code, address {exception.Address:x}");

    /// <inheritdoc/>
    public void OnInstruction(Vcpu cpu, in Instruction instruction) => Stop($"unexpected instruction {instruction}");

    /// <inheritdoc/>
    public void OnPoll(Vcpu cpu)
    {
    }

    /// <inheritdoc/>
    public byte* ResolveReservedPage(Vcpu cpu, ulong address, bool write) => null;

    /// <inheritdoc/>
    public bool IsReserved(ulong address) => false;

    /// <inheritdoc/>
    public void Dispose()
    {
        Cpu.Dispose();
        Memory.Dispose();
    }

    private void Stop(string failure)
    {
        _failure ??= failure;
        Cpu.RequestStop();
    }

    private void MapMemory()
    {
        SetEntry(1, 0, 2);
        SetEntry(1, (KernelBase >> 39) & 511, 2);
        SetEntry(2, 0, 3);
        for (ulong frame = 0; frame < Memory.FrameCount; frame++)
        {
            SetEntry(3, frame / 512, PageTableFrame + (frame / 512));
            SetEntry(PageTableFrame + (frame / 512), frame % 512, frame);
        }
    }

    private void SetEntry(ulong table, ulong index, ulong frame) =>
        Memory.TryWrite((table << 12) + (index * 8), (frame << 12) | PresentWritableUser);

    private void WriteEntry()
    {
        Assembler a = new(64);
        a.mov(rax, CodeAddress);
        a.call(rax);
        a.mov(rdx, rax);
        a.mov(eax, ExitCall);
        a.syscall();
        using MemoryStream stream = new();
        a.Assemble(new StreamCodeWriter(stream), _base + Entry);
        Memory.TryWrite(Entry, stream.ToArray());
    }
}

/// <summary>A snippet did not run to its end on the translator; the message says why.</summary>
internal sealed class GuestFailedException(string message) : Exception(message);
