using CooperativeLinux.Processor.Decoding;
using CooperativeLinux.Processor.Emission;
using Iced.Intel;

namespace CooperativeLinux.Processor.Analysis;

/// <summary>Accesses at constant distances from one register that does not change between them, checked together.</summary>
internal struct BaseGroup
{
    public int FirstInstruction;
    public int LastInstruction;

    /// <summary>x86 number of the base register.</summary>
    public int Base;

    /// <summary>Bytes covered, relative to the base: [Low, High).</summary>
    public int Low;
    public int High;

    /// <summary>The group's accesses write; else they read.</summary>
    public bool Write;
    public int Members;

    /// <summary>Where the distance from guest to host address is kept; -1: the group is not used, or has one access only.</summary>
    public int Slot;
}

/// <summary>Finds the base groups of a block.</summary>
internal sealed class BaseGroups
{
    /// <summary>Distances kept at the same time.</summary>
    public const int Slots = 4;

    /// <summary>Largest range checked as one: small, since ranges that cross a page take the long way.</summary>
    public const int MaxRange = 512;

    /// <summary>Displacements from a register are smaller, either way.</summary>
    public const int MaxDisplacement = 1 << 16;

    private const int Registers = 16;
    private const int MaxOperand = 64;

    private readonly InstructionInfoFactory _infos = new();
    private readonly List<BaseGroup> _groups = [];
    private readonly int[] _open = new int[2 * Registers];
    private readonly int[] _counts = new int[Registers];

    public BaseGroup this[int index] => _groups[index];

    /// <summary>Whether a group off a register has begun before an instruction and is not over.</summary>
    public bool IsInUse(int register, int instruction) =>
        _groups.Exists(group => group.Base == register && group.Slot >= 0 && group.FirstInstruction < instruction && instruction <= group.LastInstruction);

    public void Clear() => _groups.Clear();

    /// <param name="instructions">The block's.</param>
    /// <param name="keepsSingles">Whether groups of one access stay; they have no slot.</param>
    public void Analyse(Span<DecodedInstruction> instructions, bool keepsSingles)
    {
        _groups.Clear();
        if (!keepsSingles && !IsWorthwhile(instructions))
        {
            return;
        }

        Array.Fill(_open, -1);
        for (int i = 0; i < instructions.Length; i++)
        {
            ref DecodedInstruction decoded = ref instructions[i];
            if (!KeepsGroups(decoded.Handling))
            {
                Array.Fill(_open, -1);
                continue;
            }

            InstructionInfo info = _infos.GetInfo(decoded.Instruction);
            bool parks = ScratchesFor(decoded.Instruction) > 1;
            int operand = MemoryOperand(decoded);
            if (operand >= 0 && !parks)
            {
                bool write = info.GetOpAccess(operand) is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite;
                decoded.BaseGroup = (short)Join(i, decoded.Instruction, write);
            }

            if (parks)
            {
                // One of these is borrowed for the length of the instruction.
                Close(Gpr.Rbp);
                Close(Gpr.Rsi);
                Close(Gpr.Rdi);
            }

            foreach (UsedRegister used in info.GetUsedRegisters())
            {
                if (used.Register.IsGPR() && used.Access is not (OpAccess.Read or OpAccess.CondRead or OpAccess.None))
                {
                    Close(used.Register.GetFullRegister().GetNumber());
                }
            }
        }

        AssignSlots();
        foreach (ref DecodedInstruction decoded in instructions)
        {
            if (decoded.BaseGroup >= 0 && _groups[decoded.BaseGroup].Slot < 0 && !(keepsSingles && _groups[decoded.BaseGroup].Members == 1))
            {
                decoded.BaseGroup = -1;
            }
        }
    }

    // The operand that a group may cover, or -1: [base+disp] of an instruction that is copied.
    private static int MemoryOperand(in DecodedInstruction decoded)
    {
        ref readonly Instruction instruction = ref decoded.Instruction;
        if (decoded.Handling != Handling.Copy || decoded.StackOperand || instruction.MemoryIndex != Register.None || !instruction.MemoryBase.IsGPR64()
            || instruction.MemoryBase is Register.RSP or Register.R9 or Register.R10 or Register.R11
            || instruction.SegmentPrefix is Register.FS or Register.GS)
        {
            return -1;
        }

        int size = instruction.MemorySize.GetSize();
        long displacement = (long)instruction.MemoryDisplacement64;
        if (size is < 1 or > MaxOperand || displacement is <= -MaxDisplacement or >= MaxDisplacement)
        {
            return -1;
        }

        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Memory)
            {
                return i;
            }
        }

        return -1;
    }

    // Handlings that leave registers alone but for those the instruction names, and stay in the block.
    private static bool KeepsGroups(Handling handling) => handling is Handling.Copy or Handling.Lea or Handling.Nothing or Handling.Push or Handling.Pop
        or Handling.ConditionalJump;

    /// <summary>Scratch registers that the emitter needs for an instruction's register operands; of more than one, beside a memory operand,
    /// another register has to make room.</summary>
    public static int ScratchesFor(in Instruction instruction)
    {
        int count = 0;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) != OpKind.Register)
            {
                continue;
            }

            Register register = instruction.GetOpRegister(i);
            if (register is Register.AH or Register.BH or Register.CH or Register.DH)
            {
                return 2;
            }

            if (register.IsGPR() && register.GetFullRegister() is Register.R9 or Register.R10 or Register.R11)
            {
                count++;
            }
        }

        return count;
    }

    private bool IsWorthwhile(Span<DecodedInstruction> instructions)
    {
        bool worthwhile = false;
        Array.Clear(_counts);
        foreach (ref DecodedInstruction decoded in instructions)
        {
            if (MemoryOperand(decoded) >= 0)
            {
                worthwhile |= ++_counts[decoded.Instruction.MemoryBase.GetNumber()] > 1;
            }
        }

        return worthwhile;
    }

    private int Join(int index, in Instruction instruction, bool write)
    {
        int number = instruction.MemoryBase.GetNumber();
        int low = (int)instruction.MemoryDisplacement64;
        int high = low + instruction.MemorySize.GetSize();
        ref int open = ref _open[(number * 2) + (write ? 1 : 0)];
        if (open >= 0)
        {
            BaseGroup group = _groups[open];
            int newLow = Math.Min(group.Low, low);
            int newHigh = Math.Max(group.High, high);
            if (newHigh - newLow <= MaxRange)
            {
                group.Low = newLow;
                group.High = newHigh;
                group.Members++;
                group.LastInstruction = index;
                _groups[open] = group;
                return open;
            }
        }

        open = _groups.Count;
        _groups.Add(new BaseGroup
        {
            FirstInstruction = index,
            LastInstruction = index,
            Base = number,
            Low = low,
            High = high,
            Write = write,
            Members = 1,
            Slot = -1,
        });
        return open;
    }

    private void Close(int register)
    {
        _open[register * 2] = -1;
        _open[(register * 2) + 1] = -1;
    }

    // Groups are in the order of their first instructions.
    private void AssignSlots()
    {
        Span<int> busyUntil = stackalloc int[Slots];
        busyUntil.Fill(-1);
        for (int i = 0; i < _groups.Count; i++)
        {
            BaseGroup group = _groups[i];
            for (int slot = 0; slot < Slots && group.Members > 1 && group.Slot < 0; slot++)
            {
                if (busyUntil[slot] < group.FirstInstruction)
                {
                    busyUntil[slot] = group.LastInstruction;
                    group.Slot = slot;
                }
            }

            _groups[i] = group;
        }
    }
}
