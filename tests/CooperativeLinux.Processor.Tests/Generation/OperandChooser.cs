using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Chooses one operand of an instruction from the kind its encoding has.</summary>
internal static class OperandChooser
{
    /// <summary>Sets operand <paramref name="operand"/>; false for kinds that are not generated.</summary>
    public static bool Choose(CaseDraft draft, int operand)
    {
        OpCodeOperandKind kind = draft.Info.GetOpKind(operand);
        ref Instruction instruction = ref draft.Instruction;
        switch (kind)
        {
            case OpCodeOperandKind.mem:
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem
                or OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.ymm_or_mem when !draft.Rng.Chance(3):
                instruction.SetOpKind(operand, OpKind.Memory);
                ChooseMemory(draft);
                return true;
            case OpCodeOperandKind.mem_offs:
                instruction.SetOpKind(operand, OpKind.Memory);
                MemoryOperand.ChooseOffset(draft, draft.Info.MemorySize.GetSize());
                FillTarget(draft);
                return true;
            case OpCodeOperandKind.mem_vsib32x or OpCodeOperandKind.mem_vsib32y or OpCodeOperandKind.mem_vsib64x or OpCodeOperandKind.mem_vsib64y:
                instruction.SetOpKind(operand, OpKind.Memory);
                MemoryOperand.ChooseVector(
                    draft,
                    kind is OpCodeOperandKind.mem_vsib32x or OpCodeOperandKind.mem_vsib64x ? Register.XMM0 : Register.YMM0,
                    kind is OpCodeOperandKind.mem_vsib64x or OpCodeOperandKind.mem_vsib64y,
                    draft.Info.MemorySize.GetElementSize());
                return true;
            case OpCodeOperandKind.br64_1:
                instruction.SetOpKind(operand, OpKind.NearBranch64);
                instruction.NearBranch64 = ShortTarget(draft);
                return true;
            case OpCodeOperandKind.br64_4:
                instruction.SetOpKind(operand, OpKind.NearBranch64);
                instruction.NearBranch64 = NearTarget(draft);
                return true;
        }

        return ChooseValue(draft.Rng, draft.Values, draft.Info, ref instruction, operand) || ChooseString(draft, operand, kind);
    }

    /// <summary>Sets a register or immediate operand; false for other kinds. Operands that may be memory become registers.</summary>
    public static bool ChooseValue(Rng rng, ValueSource values, OpCodeInfo info, ref Instruction instruction, int operand)
    {
        OpCodeOperandKind kind = info.GetOpKind(operand);
        Register register = ChooseRegister(rng, kind);
        if (register != Register.None)
        {
            instruction.SetOpRegister(operand, register);
            instruction.SetOpKind(operand, OpKind.Register);
            return true;
        }

        return ChooseImmediate(rng, values, info.Mnemonic, ref instruction, operand, kind);
    }

    /// <summary>Encoding number of a general register; those that translators treat specially are likelier.</summary>
    public static int PickRegister(Rng rng) => rng.Pick<int>([0, 0, 1, 1, 2, 3, 4, 4, 5, 5, 6, 7, 8, 9, 9, 10, 10, 11, 11, 12, 13, 13, 14, 15]);

    /// <summary>A place in code pages (which hold int3), data pages or nowhere, for calls and jumps.</summary>
    public static ulong BranchTarget(CaseDraft draft, ulong view) => draft.Rng.Below(10) switch
    {
        < 6 => AwayFromCode(draft, TargetPicker.Page(view, TestLayout.CodeFirst) + (ulong)draft.Rng.Below(2 * TestLayout.PageSize)),
        < 8 => TargetPicker.Page(view, TestLayout.CodeLast) + (ulong)draft.Rng.Below(TestLayout.PageSize - 64),
        8 => TargetPicker.Page(view, TestLayout.DataA) + (ulong)draft.Rng.Below(TestLayout.PageSize),
        _ => TargetPicker.Page(view, TestLayout.CodeLast + 1) + (ulong)draft.Rng.Below(TestLayout.PageSize),
    };

    private static void ChooseMemory(CaseDraft draft)
    {
        Mnemonic mnemonic = draft.Info.Mnemonic;
        bool anywhere = mnemonic is Mnemonic.Lea or Mnemonic.Nop or Mnemonic.Reservednop
            or Mnemonic.Prefetch or Mnemonic.Prefetchw or Mnemonic.Prefetchnta or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2;
        int size = draft.Info.MemorySize switch
        {
            MemorySize.Xsave or MemorySize.Xsave64 => 1024,
            MemorySize.Unknown => 8,
            MemorySize memory => Math.Max(1, memory.GetSize()),
        };
        MemoryOperand.Choose(draft, size, anywhere);
        FillTarget(draft);
    }

    private static void FillTarget(CaseDraft draft)
    {
        Span<byte> bytes = stackalloc byte[Math.Min(64, draft.TargetSize)];
        draft.Values.Fill(bytes, draft.Values.StyleFor(draft.Info.MemorySize));
        draft.State.Write(draft.Target, bytes);
    }

    private static Register ChooseRegister(Rng rng, OpCodeOperandKind kind)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode:
                return rng.Chance(3) ? rng.Pick<Register>([Register.AH, Register.CH, Register.DH, Register.BH]) : Byte(PickRegister(rng));
            case OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_reg_mem or OpCodeOperandKind.r16_rm or OpCodeOperandKind.r16_opcode:
                return Register.AX + PickRegister(rng);
            case OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_reg_mem or OpCodeOperandKind.r32_rm or OpCodeOperandKind.r32_opcode
                or OpCodeOperandKind.r32_vvvv:
                return Register.EAX + PickRegister(rng);
            case OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_reg_mem or OpCodeOperandKind.r64_rm or OpCodeOperandKind.r64_opcode
                or OpCodeOperandKind.r64_vvvv:
                return Register.RAX + PickRegister(rng);
            case OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm:
                return Register.MM0 + rng.Below(8);
            case OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_vvvv or OpCodeOperandKind.xmm_is4:
                return Register.XMM0 + rng.Below(16);
            case OpCodeOperandKind.ymm_or_mem or OpCodeOperandKind.ymm_reg or OpCodeOperandKind.ymm_rm or OpCodeOperandKind.ymm_vvvv or OpCodeOperandKind.ymm_is4:
                return Register.YMM0 + rng.Below(16);
            case OpCodeOperandKind.al:
                return Register.AL;
            case OpCodeOperandKind.cl:
                return Register.CL;
            case OpCodeOperandKind.ax:
                return Register.AX;
            case OpCodeOperandKind.dx:
                return Register.DX;
            case OpCodeOperandKind.eax:
                return Register.EAX;
            case OpCodeOperandKind.rax:
                return Register.RAX;
            case OpCodeOperandKind.st0:
                return Register.ST0;
            case OpCodeOperandKind.sti_opcode:
                return Register.ST0 + rng.Below(8);
            default:
                return Register.None;
        }
    }

    /// <summary>al … bl, spl … dil, r8b … r15b by encoding number.</summary>
    private static Register Byte(int number) => number < 4 ? Register.AL + number : Register.SPL + (number - 4);

    private static bool ChooseImmediate(Rng rng, ValueSource values, Mnemonic mnemonic, ref Instruction instruction, int operand, OpCodeOperandKind kind)
    {
        ulong value = values.Immediate();
        switch (kind)
        {
            case OpCodeOperandKind.imm8 when operand == 1 && mnemonic == Mnemonic.Enter:
                instruction.SetOpKind(operand, OpKind.Immediate8_2nd);
                instruction.Immediate8_2nd = (byte)(rng.Chance(2) ? 0 : rng.Below(5));
                return true;
            case OpCodeOperandKind.imm8:
                instruction.SetOpKind(operand, OpKind.Immediate8);
                instruction.Immediate8 = (byte)value;
                return true;
            case OpCodeOperandKind.imm8_const_1:
                instruction.SetOpKind(operand, OpKind.Immediate8);
                instruction.Immediate8 = 1;
                return true;
            case OpCodeOperandKind.imm8sex16:
                instruction.SetOpKind(operand, OpKind.Immediate8to16);
                instruction.Immediate8to16 = (sbyte)value;
                return true;
            case OpCodeOperandKind.imm8sex32:
                instruction.SetOpKind(operand, OpKind.Immediate8to32);
                instruction.Immediate8to32 = (sbyte)value;
                return true;
            case OpCodeOperandKind.imm8sex64:
                instruction.SetOpKind(operand, OpKind.Immediate8to64);
                instruction.Immediate8to64 = (sbyte)value;
                return true;
            case OpCodeOperandKind.imm16:
                instruction.SetOpKind(operand, OpKind.Immediate16);
                instruction.Immediate16 = mnemonic is Mnemonic.Enter or Mnemonic.Ret ? (ushort)rng.Below(400) : (ushort)value;
                return true;
            case OpCodeOperandKind.imm32:
                instruction.SetOpKind(operand, OpKind.Immediate32);
                instruction.Immediate32 = (uint)value;
                return true;
            case OpCodeOperandKind.imm32sex64:
                instruction.SetOpKind(operand, OpKind.Immediate32to64);
                instruction.Immediate32to64 = (int)value;
                return true;
            case OpCodeOperandKind.imm64:
                instruction.SetOpKind(operand, OpKind.Immediate64);
                instruction.Immediate64 = value;
                return true;
            default:
                return false;
        }
    }

    /// <summary>Implicit operands of string instructions, xlat and masked moves; 67h makes their registers 32 bits wide.</summary>
    private static bool ChooseString(CaseDraft draft, int operand, OpCodeOperandKind kind)
    {
        ref Instruction instruction = ref draft.Instruction;
        bool short32 = operand == 0 ? draft.Rng.Chance(6) : instruction.Op0Kind is OpKind.MemoryESEDI or OpKind.MemorySegESI;
        if (operand == 1 && instruction.Op0Kind == OpKind.Register)
        {
            short32 = draft.Rng.Chance(6);
        }

        switch (kind)
        {
            case OpCodeOperandKind.es_rDI:
                instruction.SetOpKind(operand, short32 ? OpKind.MemoryESEDI : OpKind.MemoryESRDI);
                return true;
            case OpCodeOperandKind.seg_rSI:
                instruction.SetOpKind(operand, short32 ? OpKind.MemorySegESI : OpKind.MemorySegRSI);
                return true;
            case OpCodeOperandKind.seg_rDI:
                instruction.SetOpKind(operand, short32 ? OpKind.MemorySegEDI : OpKind.MemorySegRDI);
                return true;
            case OpCodeOperandKind.seg_rBX_al:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryBase = short32 ? Register.EBX : Register.RBX;
                instruction.MemoryIndex = Register.AL;
                return true;
            default:
                return false;
        }
    }

    private static ulong ShortTarget(CaseDraft draft) =>
        draft.State.Rip + (ulong)(draft.Rng.Chance(2) ? draft.Rng.Between(16, 120) : draft.Rng.Between(-120, -1));

    private static ulong NearTarget(CaseDraft draft) =>
        draft.Rng.Chance(3) ? ShortTarget(draft) : BranchTarget(draft, draft.CodeView);

    /// <summary>Keeps branches out of the instruction itself, whose middle may be any instruction.</summary>
    private static ulong AwayFromCode(CaseDraft draft, ulong target) =>
        (target & 0xFFFF_FFFF) - (draft.State.Rip & 0xFFFF_FFFF) < 16 ? target - 32 : target;
}
