using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Instructions that may stand anywhere in a random program, and instances of them.</summary>
internal sealed class ProgramInstructions
{
    private static readonly HashSet<Mnemonic> Excluded =
    [
        Mnemonic.Rdtsc, Mnemonic.Rdrand, Mnemonic.Rdseed, Mnemonic.Wait, Mnemonic.Int3,
        Mnemonic.Fxsave, Mnemonic.Fxsave64, Mnemonic.Fxrstor, Mnemonic.Fxrstor64, Mnemonic.Xsave, Mnemonic.Xsave64, Mnemonic.Xsavec, Mnemonic.Xsavec64,
        Mnemonic.Xsaveopt, Mnemonic.Xsaveopt64, Mnemonic.Xrstor, Mnemonic.Xrstor64, Mnemonic.Fnstenv, Mnemonic.Fstenv, Mnemonic.Fnsave, Mnemonic.Fsave,
        Mnemonic.Frstor, Mnemonic.Fldenv, Mnemonic.Ldmxcsr, Mnemonic.Vldmxcsr, Mnemonic.Fldcw, Mnemonic.Std, Mnemonic.Sahf,
        Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Ud2, Mnemonic.Clflush, Mnemonic.Clflushopt, Mnemonic.Clwb,
    ];

    private readonly List<Code> _integer = [];
    private readonly List<Code> _vector = [];
    private readonly List<Code> _x87 = [];
    private readonly InstructionInfoFactory _info = new();

    public ProgramInstructions()
    {
        foreach (Code code in InstructionCatalogue.Compared.Where(IsUsable))
        {
            OpCodeInfo info = code.ToOpCode();
            CpuidFeature feature = code.CpuidFeatures()[0];
            bool isVector = feature is CpuidFeature.SSE or CpuidFeature.SSE2 or CpuidFeature.SSE3 or CpuidFeature.SSSE3 or CpuidFeature.SSE4_1 or CpuidFeature.AVX or CpuidFeature.AVX2
                or CpuidFeature.FMA or CpuidFeature.F16C or CpuidFeature.AES or CpuidFeature.PCLMULQDQ or CpuidFeature.SHA;
            (InstructionCatalogue.UsesX87(code) ? _x87 : isVector ? _vector : _integer).Add(code);
        }
    }

    /// <summary>A random instruction that writes none of the reserved registers.</summary>
    /// <param name="context">Registers and random choices.</param>
    /// <param name="useX87">x87 and MMX may be used.</param>
    /// <param name="before">An instruction that must stand in front of it, or one without a code.</param>
    public Instruction Create(ProgramContext context, bool useX87, out Instruction before)
    {
        for (; ; )
        {
            List<Code> list = useX87 && context.Rng.Chance(3) ? _x87 : context.Rng.Chance(4) ? _vector : _integer;
            Code code = list[context.Rng.Below(list.Count)];
            bool divides = code.Mnemonic() is Mnemonic.Div or Mnemonic.Idiv;
            if (divides && !context.Rng.Chance(10))
            {
                continue;
            }

            if (TryCreate(context, code, out Instruction instruction, out before) && !WritesReserved(context, instruction) && (before.Code == Code.INVALID || !WritesReserved(context, before)))
            {
                return instruction;
            }
        }
    }

    /// <summary>Whether the instruction changes a register that the program's structure depends on.</summary>
    public bool WritesReserved(ProgramContext context, in Instruction instruction)
    {
        foreach (UsedRegister used in _info.GetInfo(instruction).GetUsedRegisters())
        {
            if (used.Access is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite
                && used.Register.IsGPR() && context.IsReserved(used.Register.GetFullRegister() - Register.RAX))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>A memory operand through a pointer register, rsp, rip or a segment.</summary>
    public static void SetMemory(ProgramContext context, ref Instruction instruction, int size, out Instruction before)
    {
        Rng rng = context.Rng;
        before = default;
        int align = size >= 16 && !rng.Chance(8) ? size : 1;
        int displacement = rng.Between(-800, 800) / align * align;
        switch (rng.Below(12))
        {
            case 0:
                instruction.MemoryBase = Register.RSP;
                displacement = rng.Between(-12, 12) * 8;
                break;
            case 1:
                instruction.MemoryBase = Register.RIP;
                instruction.MemoryDisplSize = 8;
                instruction.MemoryDisplacement64 = context.CodeView + (TestLayout.DataA * TestLayout.PageSize) + (ulong)(64 * rng.Below(100));
                return;
            case 2:
                instruction.MemoryDisplSize = 8;
                instruction.MemoryDisplacement64 = TestLayout.Low + (TestLayout.DataA * TestLayout.PageSize) + (ulong)(64 * rng.Below(100));
                return;
            case 3:
                instruction.SegmentPrefix = rng.Chance(2) ? Register.FS : Register.GS;
                displacement = rng.Between(0, 800) / align * align;
                instruction.MemoryDisplSize = 8;
                instruction.MemoryDisplacement64 = (ulong)displacement;
                return;
            case 4 or 5:
                instruction.MemoryBase = Register.RAX + context.PickPointer();
                int index = context.PickFree();
                instruction.MemoryIndex = Register.RAX + index;
                instruction.MemoryIndexScale = 1 << rng.Below(3);
                displacement = rng.Between(-100, 100);

                // Bounds the index without touching flags.
                Register low = index < 4 ? Register.AL + index : Register.SPL + (index - 4);
                before = Instruction.Create(Code.Movzx_r32_rm8, Register.EAX + index, low);
                break;
            default:
                instruction.MemoryBase = Register.RAX + context.PickPointer();
                break;
        }

        instruction.MemoryDisplacement64 = (ulong)(long)displacement;
        instruction.MemoryDisplSize = displacement == 0 ? 0 : displacement is >= -128 and < 128 && rng.Chance(2) ? 1 : 8;
    }

    private static bool TryCreate(ProgramContext context, Code code, out Instruction instruction, out Instruction before)
    {
        instruction = default;
        before = default;
        instruction.Code = code;
        OpCodeInfo info = code.ToOpCode();
        for (int operand = 0; operand < info.OpCount; operand++)
        {
            OpCodeOperandKind kind = info.GetOpKind(operand);
            bool memory = kind == OpCodeOperandKind.mem
                || (kind is OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem
                    or OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.ymm_or_mem && context.Rng.Chance(2));
            if (memory)
            {
                instruction.SetOpKind(operand, OpKind.Memory);
                SetMemory(context, ref instruction, Math.Max(1, info.MemorySize.GetSize()), out before);
            }
            else if (!OperandChooser.ChooseValue(context.Rng, context.Values, info, ref instruction, operand))
            {
                return false;
            }
        }

        bool bitString = info.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc && instruction.Op0Kind == OpKind.Memory && instruction.Op1Kind == OpKind.Register;
        instruction.HasLockPrefix = info.CanUseLockPrefix && instruction.Op0Kind == OpKind.Memory && context.Rng.Chance(4);
        return !bitString && Encoder.Create(64, new NullWriter()).TryEncode(instruction, context.CodeView + (TestLayout.CodeFirst * TestLayout.PageSize), out _, out _);
    }

    private static bool IsUsable(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        Instruction instruction = default;
        instruction.Code = code;
        if (Excluded.Contains(info.Mnemonic) || instruction.IsStackInstruction || instruction.IsStringInstruction || instruction.FlowControl != FlowControl.Next)
        {
            return false;
        }

        for (int i = 0; i < info.OpCount; i++)
        {
            if (info.GetOpKind(i) is OpCodeOperandKind.mem_offs or OpCodeOperandKind.seg_rDI or OpCodeOperandKind.seg_rBX_al or OpCodeOperandKind.mem_vsib32x
                or OpCodeOperandKind.mem_vsib32y or OpCodeOperandKind.mem_vsib64x or OpCodeOperandKind.mem_vsib64y)
            {
                return false;
            }
        }

        // Instructions that are two, with a wait in front.
        return !code.ToString().StartsWith("Fst", StringComparison.Ordinal) || code.Mnemonic() is Mnemonic.Fst or Mnemonic.Fstp;
    }

    private sealed class NullWriter : CodeWriter
    {
        public override void WriteByte(byte value)
        {
        }
    }
}
