using CooperativeLinux.Processor.Execution;
using Iced.Intel;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>The translator's vCPU as the monitor sees it.</summary>
internal sealed unsafe class VcpuAdapter(Vcpu cpu) : IGuestProcessor
{
    private readonly Vcpu _cpu = cpu;

    public VcpuState* State => _cpu.State;

    public bool HandsOverTimestamp
    {
        get => _cpu.HandsOverTimestamp;
        set => _cpu.HandsOverTimestamp = value;
    }

    public void RequestPoll() => _cpu.RequestPoll();

    public void RequestStop() => _cpu.RequestStop();

    public void SetRoots(ulong kernelRoot, ulong userRoot) => _cpu.SetRoots(kernelRoot, userRoot);

    public void FlushTlb() => _cpu.FlushTlb();

    public void FlushAllTlbs() => _cpu.FlushAllTlbs();

    public void FlushPage(ulong address) => _cpu.FlushPage(address);

    public void OnPageTableEntryWritten(ulong entryAddress, ulong oldValue, ulong newValue) =>
        _cpu.OnPageTableEntryWritten(entryAddress, oldValue, newValue);

    public void MarkPageTable(ulong frame, int level) => _cpu.MarkPageTable(frame, level);

    public bool TryTranslate(ulong address, AccessKind kind, out ulong physical) =>
        _cpu.TryTranslate(address, kind, asUser: false, out physical, out _);

    public bool TryRead(ulong address, Span<byte> destination, out GuestException fault) =>
        _cpu.TryReadVirtual(address, destination, out fault);

    public bool TryWrite(ulong address, ReadOnlySpan<byte> source, out GuestException fault) =>
        _cpu.TryWriteVirtual(address, source, out fault);

    public bool TryReadOperand(ulong address, int size, out ulong value, out GuestException fault)
    {
        bool done;
        switch (size)
        {
            case 1:
                done = _cpu.TryReadOperand(address, out byte value8, out fault);
                value = value8;
                return done;
            case 2:
                done = _cpu.TryReadOperand(address, out ushort value16, out fault);
                value = value16;
                return done;
            case 4:
                done = _cpu.TryReadOperand(address, out uint value32, out fault);
                value = value32;
                return done;
            default:
                return _cpu.TryReadOperand(address, out value, out fault);
        }
    }

    public bool TryWriteOperand(ulong address, int size, ulong value, out GuestException fault) => size switch
    {
        1 => _cpu.TryWriteOperand(address, (byte)value, out fault),
        2 => _cpu.TryWriteOperand(address, (ushort)value, out fault),
        4 => _cpu.TryWriteOperand(address, (uint)value, out fault),
        _ => _cpu.TryWriteOperand(address, value, out fault),
    };

    public ulong EffectiveAddress(in Instruction instruction) => _cpu.EffectiveAddress(instruction);

    public ulong GetRegister(Register register) => _cpu.GetRegister(register);

    public void SetRegister(Register register, ulong value) => _cpu.SetRegister(register, value);
}
