using CooperativeLinux.Processor.Decoding;
using Iced.Intel;

namespace CooperativeLinux.Processor.Analysis;

/// <summary>Accesses of consecutive instructions at constant distances from rsp, checked together.</summary>
internal struct StackGroup
{
    public int FirstInstruction;

    /// <summary>Bytes covered, relative to rsp before the first instruction: [Low, High).</summary>
    public int Low;
    public int High;
    public bool Writes;
}

/// <summary>Finds the stack groups of a block.</summary>
internal sealed class StackGroups
{
    /// <summary>Largest range checked as one; a smaller one crosses pages less often.</summary>
    private const int MaxRange = 1024;

    private readonly List<StackGroup> _groups = [];
    private StackGroup _group;
    private int _open;
    private int _delta;

    public StackGroup this[int index] => _groups[index];

    public int Count => _groups.Count;

    public void Clear() => _groups.Clear();

    public void Analyse(Span<DecodedInstruction> instructions)
    {
        _groups.Clear();
        _open = -1;
        for (int i = 0; i < instructions.Length; i++)
        {
            ref DecodedInstruction decoded = ref instructions[i];
            ref Instruction instruction = ref decoded.Instruction;
            bool operand = HasStackOperand(decoded);
            int size = 0;
            int displacement = 0;
            if (operand)
            {
                size = Math.Max(instruction.MemorySize.GetSize(), 1);
                displacement = (int)instruction.MemoryDisplacement64;
                operand = displacement is > -MaxRange and < MaxRange && size <= 64;
            }

            int push = PushedBytes(decoded);
            int pop = PoppedBytes(decoded);
            if (operand || push != 0 || pop != 0)
            {
                int low = int.MaxValue;
                int high = int.MinValue;
                if (operand)
                {
                    // pop [rsp+x] addresses with the incremented rsp.
                    int at = displacement + pop;
                    low = at;
                    high = at + size;
                }

                if (push != 0)
                {
                    low = Math.Min(low, -push);
                    high = Math.Max(high, 0);
                }

                if (pop != 0)
                {
                    low = Math.Min(low, 0);
                    high = Math.Max(high, pop);
                }

                bool writes = push != 0 || (operand && decoded.Handling is not Handling.Push && !IsReadOnlyOperand(instruction));
                if (high - low <= MaxRange)
                {
                    Join(i, low, high, writes);
                    decoded.StackGroup = (short)_open;
                    decoded.StackOperand = operand;
                }
                else
                {
                    _open = -1;
                }
            }

            Advance(decoded, push, pop);
        }
    }

    private static bool HasStackOperand(in DecodedInstruction decoded)
    {
        ref readonly Instruction instruction = ref decoded.Instruction;
        return instruction.MemoryBase == Register.RSP && instruction.MemoryIndex == Register.None
            && instruction.SegmentPrefix is not (Register.FS or Register.GS)
            && decoded.Handling is Handling.Copy or Handling.Push or Handling.Pop or Handling.Call or Handling.Jump
            && HasMemory(instruction);
    }

    private static bool HasMemory(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Memory)
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsReadOnlyOperand(in Instruction instruction) =>
        instruction.Op0Kind != OpKind.Memory && instruction.Mnemonic is not (Mnemonic.Xchg or Mnemonic.Xadd);

    private static int PushedBytes(in DecodedInstruction decoded) => decoded.Handling switch
    {
        Handling.Push => Math.Abs(decoded.Instruction.StackPointerIncrement),
        Handling.Call => 8,
        _ => 0,
    };

    private static int PoppedBytes(in DecodedInstruction decoded) => decoded.Handling switch
    {
        Handling.Pop => decoded.Instruction.StackPointerIncrement,
        Handling.Return => 8,
        _ => 0,
    };

    private void Join(int index, int low, int high, bool writes)
    {
        if (_open >= 0)
        {
            int newLow = Math.Min(_group.Low, low + _delta);
            int newHigh = Math.Max(_group.High, high + _delta);
            if (newHigh - newLow <= MaxRange)
            {
                _group.Low = newLow;
                _group.High = newHigh;
                _group.Writes |= writes;
                _groups[_open] = _group;
                return;
            }
        }

        _delta = 0;
        _open = _groups.Count;
        _group = new StackGroup { FirstInstruction = index, Low = low, High = high, Writes = writes };
        _groups.Add(_group);
    }

    private void Advance(in DecodedInstruction decoded, int push, int pop)
    {
        ref readonly Instruction instruction = ref decoded.Instruction;
        if (decoded.Handling is Handling.Interpret or Handling.Leave or Handling.ReadSelector)
        {
            _open = -1;
            return;
        }

        _delta += pop - push;
        if (decoded.Handling == Handling.Pop && instruction.Op0Kind == OpKind.Register && instruction.Op0Register.GetFullRegister() == Register.RSP)
        {
            _open = -1;
        }
        else if (decoded.Handling is not (Handling.Push or Handling.Pop or Handling.Call or Handling.Return) && WritesRsp(instruction))
        {
            if (!IsConstantMove(instruction, out int change))
            {
                _open = -1;
            }
            else
            {
                _delta += change;
            }
        }
    }

    private static bool WritesRsp(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Register && instruction.GetOpRegister(i).GetFullRegister() == Register.RSP)
            {
                // Only the first operand is written, but for exchanges.
                return i == 0 ? instruction.Mnemonic is not (Mnemonic.Cmp or Mnemonic.Test or Mnemonic.Bt)
                    : instruction.Mnemonic is Mnemonic.Xchg or Mnemonic.Xadd or Mnemonic.Mulx;
            }
        }

        return false;
    }

    private static bool IsConstantMove(in Instruction instruction, out int change)
    {
        change = 0;
        if (instruction.Op0Register != Register.RSP)
        {
            return false;
        }

        long value;
        switch (instruction.Code)
        {
            case Code.Add_rm64_imm8 or Code.Add_rm64_imm32:
                value = (long)instruction.GetImmediate(1);
                break;
            case Code.Sub_rm64_imm8 or Code.Sub_rm64_imm32:
                value = -(long)instruction.GetImmediate(1);
                break;
            case Code.Lea_r64_m when instruction.MemoryBase == Register.RSP && instruction.MemoryIndex == Register.None:
                value = (long)instruction.MemoryDisplacement64;
                break;
            default:
                return false;
        }

        change = (int)value;
        return value is > -65536 and < 65536;
    }
}
