using CooperativeLinux.Processor.Decoding;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Which instructions are compared with the real processor, and why the others are not.</summary>
internal static class InstructionCatalogue
{
    private static readonly HashSet<CpuidFeature> GuestFeatures =
    [
        CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386, CpuidFeature.INTEL486, CpuidFeature.X64,
        CpuidFeature.CMOV, CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.MMX,
        CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2,
        CpuidFeature.POPCNT, CpuidFeature.LZCNT, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA,
        CpuidFeature.F16C, CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA, CpuidFeature.ADX, CpuidFeature.MOVBE, CpuidFeature.CX8,
        CpuidFeature.CMPXCHG16B, CpuidFeature.FXSR, CpuidFeature.XSAVE, CpuidFeature.XSAVEC, CpuidFeature.XSAVEOPT,
        CpuidFeature.RDRAND, CpuidFeature.RDSEED, CpuidFeature.TSC, CpuidFeature.CLFSH, CpuidFeature.CLFLUSHOPT, CpuidFeature.CLWB, CpuidFeature.PAUSE,
        CpuidFeature.PREFETCHW, CpuidFeature.MULTIBYTENOP, CpuidFeature.CET_IBT,
    ];

    /// <summary>Handed to the monitor by contract (<see cref="Execution.IVcpuEnvironment.OnInstruction"/>), so there is nothing to compare.</summary>
    private static readonly HashSet<Mnemonic> System =
    [
        Mnemonic.In, Mnemonic.Out, Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd, Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd,
        Mnemonic.Hlt, Mnemonic.Cli, Mnemonic.Sti, Mnemonic.Lgdt, Mnemonic.Lidt, Mnemonic.Lldt, Mnemonic.Ltr, Mnemonic.Sgdt, Mnemonic.Sidt, Mnemonic.Sldt,
        Mnemonic.Str, Mnemonic.Smsw, Mnemonic.Lmsw, Mnemonic.Clts, Mnemonic.Lar, Mnemonic.Lsl, Mnemonic.Verr, Mnemonic.Verw,
        Mnemonic.Invlpg, Mnemonic.Invd, Mnemonic.Wbinvd, Mnemonic.Xgetbv, Mnemonic.Xsetbv, Mnemonic.Swapgs,
        Mnemonic.Iret, Mnemonic.Iretd, Mnemonic.Iretq, Mnemonic.Retf, Mnemonic.Int, Mnemonic.Int1, Mnemonic.Lss, Mnemonic.Lfs, Mnemonic.Lgs, Mnemonic.Ud2,
    ];

    private static readonly HashSet<Code> SystemCodes =
    [
        Code.Mov_rm16_Sreg, Code.Mov_r32m16_Sreg, Code.Mov_r64m16_Sreg, Code.Mov_Sreg_rm16, Code.Mov_Sreg_r32m16, Code.Mov_Sreg_r64m16,
        Code.Mov_r64_cr, Code.Mov_cr_r64, Code.Mov_r64_dr, Code.Mov_dr_r64,
        Code.Pushw_FS, Code.Pushw_GS, Code.Pushq_FS, Code.Pushq_GS, Code.Popw_FS, Code.Popw_GS, Code.Popq_FS, Code.Popq_GS,
        Code.Call_m1616, Code.Call_m1632, Code.Call_m1664, Code.Jmp_m1616, Code.Jmp_m1632, Code.Jmp_m1664,
    ];

    /// <summary>Branches with a 66h prefix: AMD cuts rip to 16 bits, Intel ignores the prefix. 0F0D with a register: #UD only on AMD.
    /// ud0 and ud1: AMD does not fetch what follows the opcode.</summary>
    private static readonly HashSet<Code> VendorSpecific =
    [
        Code.Call_rel16, Code.Jmp_rel16, Code.Jmp_rel8_16, Code.Retnw, Code.Retnw_imm16, Code.Call_rm16, Code.Jmp_rm16,
        Code.Jcxz_rel8_16, Code.Jecxz_rel8_16, Code.Jrcxz_rel8_16,
        Code.Loop_rel8_16_ECX, Code.Loop_rel8_16_RCX, Code.Loope_rel8_16_ECX, Code.Loope_rel8_16_RCX, Code.Loopne_rel8_16_ECX, Code.Loopne_rel8_16_RCX,
        Code.Reservednop_rm16_r16_0F0D, Code.Reservednop_rm32_r32_0F0D, Code.Reservednop_rm64_r64_0F0D,
        Code.Ud0, Code.Ud0_r16_rm16, Code.Ud0_r32_rm32, Code.Ud0_r64_rm64,
        Code.Ud1_r16_rm16, Code.Ud1_r32_rm32, Code.Ud1_r64_rm64,
    ];

    /// <summary>All compared instructions, in a fixed order.</summary>
    public static IReadOnlyList<Code> Compared { get; } = [.. Enum.GetValues<Code>().Where(IsCompared)];

    /// <summary>All instructions that the processor copies, expands or carries out itself.</summary>
    public static IReadOnlyList<Code> Translated { get; } = [.. Enum.GetValues<Code>().Where(IsTranslated)];

    /// <summary>Translated instructions that are not compared, because processors differ in them or a host process cannot run them as the
    /// guest does.</summary>
    public static IReadOnlySet<Code> NotComparable { get; } = new HashSet<Code>([.. VendorSpecific, .. SystemCodes]);

    /// <summary>Name of the group an instruction is counted in: its feature set.</summary>
    public static string Group(Code code) => string.Join("+", code.CpuidFeatures());

    /// <summary>The instructions of a group.</summary>
    public static IEnumerable<Code> InGroup(string group) => Compared.Where(code => Group(code) == group);

    /// <summary>Whether an instruction uses x87 or MMX registers, or stores them.</summary>
    public static bool UsesX87(Code code)
    {
        foreach (CpuidFeature feature in code.CpuidFeatures())
        {
            if (feature is CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU387 or CpuidFeature.MMX or CpuidFeature.FXSR
                or CpuidFeature.XSAVE or CpuidFeature.XSAVEC or CpuidFeature.XSAVEOPT)
            {
                return true;
            }
        }

        OpCodeInfo info = code.ToOpCode();
        for (int i = 0; i < info.OpCount; i++)
        {
            if (info.GetOpKind(i) is OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm)
            {
                return true;
            }
        }

        return code == Code.Wait;
    }

    private static bool IsCompared(Code code)
    {
        if (code == Code.INVALID || code is >= Code.DeclareByte and <= Code.DeclareQword)
        {
            return false;
        }

        OpCodeInfo info = code.ToOpCode();
        return info.IsInstruction
            && info.Mode64
            && info.Encoding is (EncodingKind.Legacy or EncodingKind.VEX)
            && code.CpuidFeatures().All(GuestFeatures.Contains)
            && !System.Contains(code.Mnemonic())
            && !SystemCodes.Contains(code)
            && !VendorSpecific.Contains(code)
            && !IsShortConditional16(info);
    }

    private static bool IsTranslated(Code code)
    {
        // The decoder gives 16-bit branches and Knights Corner's instructions only when asked for them.
        OpCodeInfo info = code.ToOpCode();
        if (code is Code.INVALID or (>= Code.DeclareByte and <= Code.DeclareQword) || !info.IsInstruction || !info.Mode64 || !info.IntelDecoder64 || info.DecoderOption == DecoderOptions.KNC)
        {
            return false;
        }

        Instruction instruction = default;
        instruction.Code = code;
        return new InstructionPolicy().Classify(instruction) is not (Handling.Undefined or Handling.Environment or Handling.Syscall);
    }

    private static bool IsShortConditional16(OpCodeInfo info) =>
        info.OpCount == 1 && info.Op0Kind is (OpCodeOperandKind.br16_1 or OpCodeOperandKind.br16_2);
}
