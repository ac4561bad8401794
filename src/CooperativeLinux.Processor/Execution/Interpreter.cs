using CooperativeLinux.Processor.Memory;
using Iced.Intel;

namespace CooperativeLinux.Processor.Execution;

/// <summary>
/// Carries out, in C#, the instructions that are too odd to copy: string operations, flag images, masked and gathered accesses, state
/// images. Registers are in <see cref="VcpuState"/>.
/// </summary>
internal sealed unsafe partial class Interpreter
{
    private readonly Vcpu _cpu;
    private readonly EngineState* _engine;
    private readonly byte* _fpuSave;
    private readonly byte* _fpuRestore;
    private GuestException _fault;
    private bool _nonCanonical;

    public Interpreter(Vcpu cpu, EngineState* engine, byte* fpuSave, byte* fpuRestore)
    {
        _cpu = cpu;
        _engine = engine;
        _fpuSave = fpuSave;
        _fpuRestore = fpuRestore;
    }

    private VcpuState* State => _cpu.State;

    private bool IsUser => State->UserMode != 0;

    /// <summary>Carries out an instruction. Leaves rip alone.</summary>
    /// <param name="instruction">The instruction.</param>
    /// <param name="fault">Exception to raise if the result is false; registers are then as the architecture demands.</param>
    /// <param name="finished">False: a repetition was cut short to let an event in, and is to be started again.</param>
    public bool Execute(in Instruction instruction, out GuestException fault, out bool finished)
    {
        finished = true;
        _fault = default;
        _nonCanonical = true;
        bool done = instruction.IsStringInstruction ? String(instruction, out finished) : Other(instruction);
        if (!done && _fault.Vector == GuestException.GeneralProtection && _nonCanonical && UsesStackSegment(instruction))
        {
            _fault = new GuestException(GuestException.StackFault);
        }

        fault = _fault;
        return done;
    }

    private bool Other(in Instruction instruction)
    {
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Cld:
                State->SystemFlags &= ~RflagsBits.Direction;
                return true;
            case Mnemonic.Std:
                State->SystemFlags |= RflagsBits.Direction;
                return true;
            case Mnemonic.Pushf:
                return Push((ushort)State->Rflags, 2);
            case Mnemonic.Pushfq:
                return Push(State->Rflags, 8);
            case Mnemonic.Popf:
                return PopFlags(2);
            case Mnemonic.Popfq:
                return PopFlags(8);
            case Mnemonic.Push:
                return Push(State->Selectors[instruction.Op0Register.GetNumber()], Math.Abs(instruction.StackPointerIncrement));
            case Mnemonic.Enter:
                return Enter(instruction);
            case Mnemonic.Maskmovq or Mnemonic.Maskmovdqu or Mnemonic.Vmaskmovdqu:
                return MaskMoveBytes(instruction);
            case Mnemonic.Vmaskmovps or Mnemonic.Vmaskmovpd or Mnemonic.Vpmaskmovd or Mnemonic.Vpmaskmovq:
                return MaskMove(instruction);
            case Mnemonic.Fxsave or Mnemonic.Fxsave64:
                return FxSave(_cpu.EffectiveAddress(instruction));
            case Mnemonic.Fxrstor or Mnemonic.Fxrstor64:
                return FxRestore(_cpu.EffectiveAddress(instruction));
            case Mnemonic.Xsave or Mnemonic.Xsave64 or Mnemonic.Xsaveopt or Mnemonic.Xsaveopt64:
                return XSave(_cpu.EffectiveAddress(instruction), compact: false);
            case Mnemonic.Xsavec or Mnemonic.Xsavec64:
                return XSave(_cpu.EffectiveAddress(instruction), compact: true);
            case Mnemonic.Xrstor or Mnemonic.Xrstor64:
                return XRestore(_cpu.EffectiveAddress(instruction));
            case Mnemonic.Mov:
                ushort selector = State->Selectors[instruction.Op1Register.GetNumber()];
                return Write(_cpu.EffectiveAddress(instruction), new ReadOnlySpan<byte>(&selector, 2));
            case Mnemonic.Leave:
                return LeaveShort();
            case Mnemonic.Fsave or Mnemonic.Fstenv or Mnemonic.Fnsave or Mnemonic.Fnstenv or Mnemonic.Frstor or Mnemonic.Fldenv:
                return FpuEnvironment(instruction);
            default:
                return Gather(instruction);
        }
    }

    private bool Push(ulong value, int size)
    {
        ulong address = State->Rsp - (ulong)size;
        if (!Write(address, new ReadOnlySpan<byte>(&value, size)))
        {
            return false;
        }

        State->Rsp = address;
        return true;
    }

    private bool PopFlags(int size)
    {
        ulong value = 0;
        if (!Read(State->Rsp, new Span<byte>(&value, size)))
        {
            return false;
        }

        if (size == 2)
        {
            value |= State->Rflags & ~0xFFFFUL;
        }

        State->Rflags = value;
        State->Rsp += (ulong)size;
        return true;
    }

    // leave with a 16-bit operand: rsp := rbp ; pop bp
    private bool LeaveShort()
    {
        ushort value;
        if (!Read(State->Rbp, new Span<byte>(&value, 2)))
        {
            return false;
        }

        State->Rsp = State->Rbp + 2;
        State->Rbp = (State->Rbp & ~0xFFFFUL) | value;
        return true;
    }

    // enter frame, level: push rbp and level frame pointers, then make room.
    private bool Enter(in Instruction instruction)
    {
        int size = instruction.Code == Code.Enterw_imm16_imm8 ? 2 : 8;
        int level = instruction.Immediate8_2nd & 31;
        ulong rsp = State->Rsp;
        ulong rbp = State->Rbp;
        ulong frame = rsp - (ulong)size;
        ulong value = rbp;
        if (!Write(frame, new ReadOnlySpan<byte>(&value, size)))
        {
            return false;
        }

        for (int i = 1; i <= level; i++)
        {
            value = frame;
            if ((i < level && !Read(rbp - (ulong)(i * size), new Span<byte>(&value, size)))
                || !Write(frame - (ulong)(i * size), new ReadOnlySpan<byte>(&value, size)))
            {
                return false;
            }
        }

        ulong newRsp = rsp - (ulong)((level + 1) * size) - instruction.Immediate16;
        if (!CanWrite(newRsp, size))
        {
            return false;
        }

        State->Rbp = size == 2 ? (rbp & ~0xFFFFUL) | (ushort)frame : frame;
        State->Rsp = newRsp;
        return true;
    }

    private bool Read(ulong address, Span<byte> bytes) => Copy(address, bytes, write: false);

    private bool Write(ulong address, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* pointer = bytes)
        {
            return Copy(address, new Span<byte>(pointer, bytes.Length), write: true);
        }
    }

    // Whether a write would succeed; nothing is written.
    private bool CanWrite(ulong address, int length)
    {
        for (int done = 0; done < length;)
        {
            ulong at = address + (ulong)done;
            int part = (int)Math.Min((ulong)(length - done), 4096 - (at & 0xFFF));
            if (!Resolve(at, part, write: true, out _))
            {
                return false;
            }

            done += part;
        }

        return true;
    }

    private bool Copy(ulong address, Span<byte> bytes, bool write) => _cpu.TryCopy(address, bytes, write, IsUser, out _fault);

    private bool Resolve(ulong address, int size, bool write, out byte* host) =>
        _cpu.TryResolve(address, size, write, IsUser, -1, out host, out _fault);

    private static bool UsesStackSegment(in Instruction instruction) =>
        instruction.Mnemonic is Mnemonic.Pushf or Mnemonic.Pushfq or Mnemonic.Popf or Mnemonic.Popfq or Mnemonic.Push or Mnemonic.Enter or Mnemonic.Leave
        || (instruction.MemoryBase is Register.RSP or Register.RBP or Register.ESP or Register.EBP && instruction.SegmentPrefix is not (Register.FS or Register.GS));

    // A #GP of the instruction itself, not of its address.
    private bool ProtectionFault()
    {
        _nonCanonical = false;
        _fault = new GuestException(GuestException.GeneralProtection);
        return false;
    }
}
