using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;
using Iced.Intel;
using RflagsBits = CooperativeLinux.Processor.Execution.RflagsBits;

namespace CooperativeLinux.Monitor.Tests.Machine;

/// <summary>A processor whose virtual addresses are guest-physical ones. It runs nothing and records what it is told.</summary>
internal sealed unsafe class FakeProcessor : IGuestProcessor, IDisposable
{
    private readonly GuestMemory _memory;

    public FakeProcessor(GuestMemory memory)
    {
        _memory = memory;
        State = (VcpuState*)NativeMemory.AlignedAlloc(VcpuState.TotalSize, 4096);
        NativeMemory.Clear(State, VcpuState.TotalSize);
        State->Rflags = RflagsBits.Always;
    }

    public VcpuState* State { get; }

    /// <summary>Pages (addresses) that fault on any access, and on writes.</summary>
    public HashSet<ulong> Missing { get; } = [];

    public HashSet<ulong> ReadOnly { get; } = [];

    public List<string> Calls { get; } = [];

    public int Polls { get; private set; }

    public int Stops { get; private set; }

    public bool HandsOverTimestamp { get; set; }

    public void RequestPoll() => Polls++;

    public void RequestStop() => Stops++;

    public void SetRoots(ulong kernelRoot, ulong userRoot) => Calls.Add($"roots {kernelRoot:x} {userRoot:x}");

    public void FlushTlb() => Calls.Add("flush");

    public void FlushAllTlbs() => Calls.Add("flush all");

    public void FlushPage(ulong address) => Calls.Add($"page {address:x}");

    public void OnPageTableEntryWritten(ulong entryAddress, ulong oldValue, ulong newValue) =>
        Calls.Add($"entry {entryAddress:x} {oldValue:x} {newValue:x}");

    public void MarkPageTable(ulong frame, int level) => Calls.Add($"mark {frame:x} {level}");

    public bool TryTranslate(ulong address, AccessKind kind, out ulong physical)
    {
        physical = address;
        return Check(address, 1, kind == AccessKind.Write, out _);
    }

    public bool TryRead(ulong address, Span<byte> destination, out GuestException fault) =>
        Check(address, destination.Length, write: false, out fault) && _memory.TryRead(address, destination);

    public bool TryWrite(ulong address, ReadOnlySpan<byte> source, out GuestException fault) =>
        Check(address, source.Length, write: true, out fault) && _memory.TryWrite(address, source);

    public bool TryReadOperand(ulong address, int size, out ulong value, out GuestException fault)
    {
        value = 0;
        fixed (ulong* target = &value)
        {
            return TryRead(address, new Span<byte>(target, size), out fault);
        }
    }

    public bool TryWriteOperand(ulong address, int size, ulong value, out GuestException fault) =>
        TryWrite(address, new ReadOnlySpan<byte>(&value, size), out fault);

    public ulong EffectiveAddress(in Instruction instruction) =>
        instruction.IsIPRelativeMemoryOperand
            ? instruction.IPRelativeMemoryAddress
            : instruction.MemoryDisplacement64 + (instruction.MemoryBase == Register.None ? 0 : GetRegister(instruction.MemoryBase));

    public ulong GetRegister(Register register)
    {
        ulong value = State->Registers[register.GetFullRegister() - Register.RAX];
        return register.GetSize() switch
        {
            8 => value,
            4 => (uint)value,
            2 => (ushort)value,
            _ => (byte)value,
        };
    }

    public void SetRegister(Register register, ulong value)
    {
        ref ulong full = ref State->Registers[register.GetFullRegister() - Register.RAX];
        full = register.GetSize() switch
        {
            8 => value,
            4 => (uint)value,
            2 => (full & ~0xffffUL) | (ushort)value,
            _ => (full & ~0xffUL) | (byte)value,
        };
    }

    public void Dispose() => NativeMemory.AlignedFree(State);

    private bool Check(ulong address, int length, bool write, out GuestException fault)
    {
        fault = default;
        if (length == 0)
        {
            return true;
        }

        ulong last = address + (ulong)length - 1;
        for (ulong page = address & ~0xfffUL; page <= last && last >= address; page += GuestMemory.PageSize)
        {
            if (Missing.Contains(page) || page >= _memory.Size || (write && ReadOnly.Contains(page)))
            {
                uint error = (write ? 2u : 0) | (State->UserMode != 0 ? 4u : 0) | (ReadOnly.Contains(page) ? 1u : 0);
                fault = new GuestException(GuestException.PageFault, error, Math.Max(page, address));
                return false;
            }
        }

        return last >= address;
    }
}
