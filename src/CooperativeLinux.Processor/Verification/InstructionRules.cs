using Iced.Intel;

namespace CooperativeLinux.Processor.Verification;

/// <summary>What matters of an instruction code for the sandbox.</summary>
internal struct InstructionRule
{
    public bool Known;

    /// <summary>Why it may not occur; null: it may.</summary>
    public string? Denial;

    /// <summary>Bit per operand.</summary>
    public byte Reads;
    public byte Writes;
    public bool WritesFlags;

    /// <summary>Reads or writes rcx without naming it.</summary>
    public bool ImpliesRcx;

    /// <summary>bt, bts, btr, btc with a bit offset in a register.</summary>
    public bool IsBitString;
}

/// <summary>
/// The instructions that may occur in blocks, besides branches. Denied by default: integer instructions are allowed by name,
/// vector and x87 instructions by feature. In either case the instruction must not touch memory but by its explicit operand,
/// nor registers but its explicit operands, rax, rcx, rdx, rbx and the vector and x87 registers.
/// </summary>
internal sealed class InstructionRules
{
    private static readonly HashSet<Mnemonic> s_integer =
    [
        // Moves and conversions
        Mnemonic.Mov, Mnemonic.Movsx, Mnemonic.Movsxd, Mnemonic.Movzx, Mnemonic.Movbe, Mnemonic.Movnti, Mnemonic.Xchg, Mnemonic.Bswap,
        Mnemonic.Cbw, Mnemonic.Cwd, Mnemonic.Cdq, Mnemonic.Cqo, Mnemonic.Cwde, Mnemonic.Cdqe,

        // Arithmetic
        Mnemonic.Adc, Mnemonic.Adcx, Mnemonic.Add, Mnemonic.Adox, Mnemonic.Cmp, Mnemonic.Cmpxchg, Mnemonic.Cmpxchg16b, Mnemonic.Cmpxchg8b, Mnemonic.Crc32,
        Mnemonic.Dec, Mnemonic.Div, Mnemonic.Idiv, Mnemonic.Imul, Mnemonic.Inc, Mnemonic.Mul, Mnemonic.Mulx, Mnemonic.Neg, Mnemonic.Sbb, Mnemonic.Sub,
        Mnemonic.Xadd,

        // Logic, bits and shifts
        Mnemonic.And, Mnemonic.Andn, Mnemonic.Not, Mnemonic.Or, Mnemonic.Test, Mnemonic.Xor,
        Mnemonic.Bextr, Mnemonic.Blsi, Mnemonic.Blsmsk, Mnemonic.Blsr, Mnemonic.Bsf, Mnemonic.Bsr, Mnemonic.Bt, Mnemonic.Btc, Mnemonic.Btr, Mnemonic.Bts,
        Mnemonic.Bzhi, Mnemonic.Lzcnt, Mnemonic.Pdep, Mnemonic.Pext, Mnemonic.Popcnt, Mnemonic.Tzcnt,
        Mnemonic.Rcl, Mnemonic.Rcr, Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rorx, Mnemonic.Sal, Mnemonic.Sar, Mnemonic.Sarx, Mnemonic.Shl, Mnemonic.Shld,
        Mnemonic.Shlx, Mnemonic.Shr, Mnemonic.Shrd, Mnemonic.Shrx,

        // Flags
        Mnemonic.Clc, Mnemonic.Cmc, Mnemonic.Lahf, Mnemonic.Sahf, Mnemonic.Stc,

        // Hints, order, counters
        Mnemonic.Clflush, Mnemonic.Clflushopt, Mnemonic.Clwb, Mnemonic.Lfence, Mnemonic.Mfence, Mnemonic.Pause, Mnemonic.Rdrand, Mnemonic.Rdseed,
        Mnemonic.Rdtsc, Mnemonic.Sfence, Mnemonic.Wait,
    ];

    private static readonly HashSet<CpuidFeature> s_vector =
    [
        CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.CMOV, CpuidFeature.MMX,
        CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2,
        CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C,
        CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA,
    ];

    // Images that hold host addresses (of the last x87 instruction and operand).
    private static readonly HashSet<Mnemonic> s_leaking =
    [
        Mnemonic.Fnstenv, Mnemonic.Fstenv, Mnemonic.Fldenv, Mnemonic.Fnsave, Mnemonic.Fsave, Mnemonic.Frstor,
    ];

    private readonly InstructionRule[] _rules = new InstructionRule[Enum.GetValues<Code>().Length];
    private readonly InstructionInfoFactory _infos = new();

    /// <summary>The rule for an instruction's code.</summary>
    public ref readonly InstructionRule this[in Instruction instruction]
    {
        get
        {
            ref InstructionRule rule = ref _rules[(int)instruction.Code];
            if (!rule.Known)
            {
                rule = Decide(instruction);
            }

            return ref rule;
        }
    }

    private InstructionRule Decide(in Instruction instruction)
    {
        // What an instruction reads may depend on its operands (xor of a register with itself, shifts by zero). The rule is for all
        // instructions of the code, so it is taken from one without such coincidences.
        Instruction typical = Typical(instruction);
        InstructionRule rule = new() { Known = true, Denial = FindDenial(typical) };
        if (rule.Denial != null)
        {
            return rule;
        }

        InstructionInfo info = _infos.GetInfo(typical);
        for (int i = 0; i < typical.OpCount; i++)
        {
            OpAccess access = info.GetOpAccess(i);
            if (access is not (OpAccess.Read or OpAccess.CondRead or OpAccess.NoMemAccess or OpAccess.None))
            {
                rule.Writes |= (byte)(1 << i);
            }

            if (access is not OpAccess.Write)
            {
                rule.Reads |= (byte)(1 << i);
            }
        }

        foreach (UsedRegister used in info.GetUsedRegisters())
        {
            // Operands are never rcx in the typical instruction, except cl.
            rule.ImpliesRcx |= used.Register.GetFullRegister() == Register.RCX && used.Register != Register.CL;
        }

        rule.WritesFlags = typical.RflagsModified != RflagsBits.None;
        rule.IsBitString = typical.Mnemonic is Mnemonic.Bt or Mnemonic.Btc or Mnemonic.Btr or Mnemonic.Bts && typical.Op1Kind == OpKind.Register;
        return rule;
    }

    private string? FindDenial(in Instruction instruction)
    {
        if (instruction.IsInvalid || instruction.Encoding is not (EncodingKind.Legacy or EncodingKind.VEX))
        {
            return "no instruction of the allowed encodings";
        }

        if (!IsAllowed(instruction))
        {
            return "instruction is not in the allowed set";
        }

        if (instruction.FlowControl != FlowControl.Next || instruction.IsPrivileged || instruction.IsStackInstruction || instruction.IsStringInstruction
            || instruction.IsSaveRestoreInstruction || instruction.IsVsib)
        {
            return "instruction of a denied class";
        }

        Span<bool> named = stackalloc bool[256];
        bool hasMemory = false;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            switch (kind)
            {
                case OpKind.Register:
                    named[(int)instruction.GetOpRegister(i).GetFullRegister()] = true;
                    break;
                case OpKind.Memory:
                    hasMemory = true;
                    named[(int)instruction.MemoryBase.GetFullRegister()] = true;
                    named[(int)instruction.MemoryIndex.GetFullRegister()] = true;
                    break;
                case OpKind.Immediate8 or OpKind.Immediate8_2nd or OpKind.Immediate16 or OpKind.Immediate32 or OpKind.Immediate64
                    or OpKind.Immediate8to16 or OpKind.Immediate8to32 or OpKind.Immediate8to64 or OpKind.Immediate32to64:
                    break;
                default:
                    return $"operand of a denied kind ({kind})";
            }
        }

        InstructionInfo info = _infos.GetInfo(instruction);
        if (info.GetUsedMemory().Count() > (hasMemory ? 1 : 0))
        {
            return "memory operand that is not explicit";
        }

        foreach (UsedRegister used in info.GetUsedRegisters())
        {
            Register register = used.Register;
            bool allowed = register.IsGPR()
                ? named[(int)register.GetFullRegister()] || register.GetFullRegister() is Register.RAX or Register.RCX or Register.RDX or Register.RBX
                : register.IsVectorRegister() || register.IsMM() || register.IsST();
            if (!allowed)
            {
                return $"use of {register}";
            }
        }

        return null;
    }

    private static bool IsAllowed(in Instruction instruction)
    {
        if (s_integer.Contains(instruction.Mnemonic))
        {
            return true;
        }

        CpuidFeature[] features = instruction.CpuidFeatures;
        bool isConditional = instruction.ConditionCode != ConditionCode.None && features is [CpuidFeature.INTEL386 or CpuidFeature.CMOV];
        return isConditional
            || (features.Length > 0 && Array.TrueForAll(features, s_vector.Contains) && !s_leaking.Contains(instruction.Mnemonic));
    }

    private static Instruction Typical(in Instruction instruction)
    {
        Instruction typical = instruction;
        if (instruction.IsInvalid)
        {
            return typical;
        }

        OpCodeInfo encoding = instruction.OpCode;
        for (int i = 0; i < typical.OpCount; i++)
        {
            switch (typical.GetOpKind(i))
            {
                case OpKind.Register when !IsFixed(encoding.GetOpKind(i)):
                    typical.SetOpRegister(i, Other(typical.GetOpRegister(i), i));
                    break;
                case OpKind.Memory:
                    typical.MemoryBase = Register.R15;
                    typical.MemoryIndex = Register.None;
                    typical.SegmentPrefix = Register.None;
                    break;
                case OpKind.Immediate8 or OpKind.Immediate8to16 or OpKind.Immediate8to32 or OpKind.Immediate8to64:
                    typical.SetImmediate(i, 1);
                    break;
            }
        }

        return typical;
    }

    private static bool IsFixed(OpCodeOperandKind kind) => kind is OpCodeOperandKind.al or OpCodeOperandKind.ax or OpCodeOperandKind.eax or OpCodeOperandKind.rax
        or OpCodeOperandKind.cl or OpCodeOperandKind.dx or OpCodeOperandKind.st0;

    // Register of the same class, different for each operand.
    private static Register Other(Register register, int operand)
    {
        if (register.IsGPR8())
        {
            return Register.R12L + operand;
        }

        if (register.IsGPR16())
        {
            return Register.R12W + operand;
        }

        if (register.IsGPR32())
        {
            return Register.R12D + operand;
        }

        if (register.IsGPR64())
        {
            return Register.R12 + operand;
        }

        if (register.IsXMM())
        {
            return Register.XMM1 + operand;
        }

        if (register.IsYMM())
        {
            return Register.YMM1 + operand;
        }

        return register.IsMM() ? Register.MM1 + operand : register;
    }
}
