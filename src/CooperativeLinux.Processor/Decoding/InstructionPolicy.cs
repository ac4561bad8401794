using Iced.Intel;

namespace CooperativeLinux.Processor.Decoding;

/// <summary>What the translator does with an instruction.</summary>
internal enum Handling : byte
{
    Unknown,

    /// <summary>Not offered to the guest: raises #UD when executed.</summary>
    Undefined,

    /// <summary>The same instruction on host registers, its memory operand confined.</summary>
    Copy,

    /// <summary>Nothing is emitted: hints and long nops.</summary>
    Nothing,

    Lea,
    Push,
    Pop,
    Leave,
    Call,
    Jump,
    ConditionalJump,
    Return,
    Loop,

    /// <summary>bt, bts, btr, btc with a register bit offset into memory: the offset reaches outside the operand.</summary>
    BitString,
    Translate,
    Syscall,
    Breakpoint,

    /// <summary>mov from a segment register to a general one.</summary>
    ReadSelector,

    /// <summary>Carried out in C# by the processor; the block goes on after it.</summary>
    Interpret,

    /// <summary>Carried out by the monitor; ends the block.</summary>
    Environment,
}

/// <summary>
/// Which instructions guest code may use and how. Deny is the default: an instruction is copied only if it is in the list
/// of integer mnemonics below, or belongs wholly to the vector and x87 feature sets below and is not excepted.
/// </summary>
internal sealed class InstructionPolicy
{
    private static readonly HashSet<Mnemonic> s_copiedInteger =
    [
        Mnemonic.Mov, Mnemonic.Movzx, Mnemonic.Movsx, Mnemonic.Movsxd, Mnemonic.Xchg, Mnemonic.Bswap,
        Mnemonic.Add, Mnemonic.Adc, Mnemonic.Sub, Mnemonic.Sbb, Mnemonic.Cmp, Mnemonic.Inc, Mnemonic.Dec, Mnemonic.Neg,
        Mnemonic.And, Mnemonic.Or, Mnemonic.Xor, Mnemonic.Not, Mnemonic.Test,
        Mnemonic.Mul, Mnemonic.Imul, Mnemonic.Div, Mnemonic.Idiv,
        Mnemonic.Shl, Mnemonic.Sal, Mnemonic.Shr, Mnemonic.Sar, Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rcl, Mnemonic.Rcr, Mnemonic.Shld, Mnemonic.Shrd,
        Mnemonic.Bt, Mnemonic.Bts, Mnemonic.Btr, Mnemonic.Btc, Mnemonic.Bsf, Mnemonic.Bsr,
        Mnemonic.Cbw, Mnemonic.Cwde, Mnemonic.Cdqe, Mnemonic.Cwd, Mnemonic.Cdq, Mnemonic.Cqo,
        Mnemonic.Clc, Mnemonic.Stc, Mnemonic.Cmc, Mnemonic.Lahf, Mnemonic.Sahf,
        Mnemonic.Xadd, Mnemonic.Cmpxchg, Mnemonic.Cmpxchg8b, Mnemonic.Cmpxchg16b,
        Mnemonic.Seta, Mnemonic.Setae, Mnemonic.Setb, Mnemonic.Setbe, Mnemonic.Sete, Mnemonic.Setg, Mnemonic.Setge, Mnemonic.Setl, Mnemonic.Setle,
        Mnemonic.Setne, Mnemonic.Setno, Mnemonic.Setnp, Mnemonic.Setns, Mnemonic.Seto, Mnemonic.Setp, Mnemonic.Sets,
        Mnemonic.Cmova, Mnemonic.Cmovae, Mnemonic.Cmovb, Mnemonic.Cmovbe, Mnemonic.Cmove, Mnemonic.Cmovg, Mnemonic.Cmovge, Mnemonic.Cmovl,
        Mnemonic.Cmovle, Mnemonic.Cmovne, Mnemonic.Cmovno, Mnemonic.Cmovnp, Mnemonic.Cmovns, Mnemonic.Cmovo, Mnemonic.Cmovp, Mnemonic.Cmovs,
        Mnemonic.Rdtsc, Mnemonic.Pause, Mnemonic.Wait, Mnemonic.Lfence, Mnemonic.Mfence, Mnemonic.Sfence, Mnemonic.Movnti,
        Mnemonic.Clflush, Mnemonic.Clflushopt, Mnemonic.Clwb, Mnemonic.Rdrand, Mnemonic.Rdseed,
        Mnemonic.Movbe, Mnemonic.Popcnt, Mnemonic.Lzcnt, Mnemonic.Tzcnt, Mnemonic.Crc32, Mnemonic.Adcx, Mnemonic.Adox,
        Mnemonic.Andn, Mnemonic.Bextr, Mnemonic.Blsi, Mnemonic.Blsmsk, Mnemonic.Blsr, Mnemonic.Bzhi, Mnemonic.Mulx, Mnemonic.Pdep, Mnemonic.Pext,
        Mnemonic.Rorx, Mnemonic.Sarx, Mnemonic.Shlx, Mnemonic.Shrx,
    ];

    private static readonly HashSet<CpuidFeature> s_copiedFeatures =
    [
        CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.MMX, CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3,
        CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2, CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA,
        CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C, CpuidFeature.CMOV,
    ];

    private static readonly HashSet<Mnemonic> s_nothing =
    [
        Mnemonic.Nop, Mnemonic.Reservednop, Mnemonic.Endbr64, Mnemonic.Endbr32, Mnemonic.Prefetchnta, Mnemonic.Prefetcht0,
        Mnemonic.Prefetcht1, Mnemonic.Prefetcht2, Mnemonic.Prefetchw, Mnemonic.Prefetch,
        Mnemonic.Fneni, Mnemonic.Fndisi, Mnemonic.Fnsetpm, Mnemonic.Feni, Mnemonic.Fdisi, Mnemonic.Fsetpm,
    ];

    private static readonly HashSet<Mnemonic> s_interpreted =
    [
        Mnemonic.Movsb, Mnemonic.Movsw, Mnemonic.Movsd, Mnemonic.Movsq, Mnemonic.Stosb, Mnemonic.Stosw, Mnemonic.Stosd, Mnemonic.Stosq,
        Mnemonic.Lodsb, Mnemonic.Lodsw, Mnemonic.Lodsd, Mnemonic.Lodsq, Mnemonic.Scasb, Mnemonic.Scasw, Mnemonic.Scasd, Mnemonic.Scasq,
        Mnemonic.Cmpsb, Mnemonic.Cmpsw, Mnemonic.Cmpsd, Mnemonic.Cmpsq,
        Mnemonic.Pushf, Mnemonic.Pushfq, Mnemonic.Popf, Mnemonic.Popfq, Mnemonic.Cld, Mnemonic.Std, Mnemonic.Enter,
        Mnemonic.Maskmovq, Mnemonic.Maskmovdqu, Mnemonic.Vmaskmovdqu,
        Mnemonic.Vmaskmovps, Mnemonic.Vmaskmovpd, Mnemonic.Vpmaskmovd, Mnemonic.Vpmaskmovq,
        Mnemonic.Vgatherdps, Mnemonic.Vgatherdpd, Mnemonic.Vgatherqps, Mnemonic.Vgatherqpd,
        Mnemonic.Vpgatherdd, Mnemonic.Vpgatherdq, Mnemonic.Vpgatherqd, Mnemonic.Vpgatherqq,
        Mnemonic.Fxsave, Mnemonic.Fxsave64, Mnemonic.Fxrstor, Mnemonic.Fxrstor64, Mnemonic.Xsave, Mnemonic.Xsave64, Mnemonic.Xsavec, Mnemonic.Xsavec64,
        Mnemonic.Xsaveopt, Mnemonic.Xsaveopt64, Mnemonic.Xrstor, Mnemonic.Xrstor64, Mnemonic.Fsave, Mnemonic.Fstenv, Mnemonic.Fnsave, Mnemonic.Frstor, Mnemonic.Fnstenv, Mnemonic.Fldenv,
    ];

    private static readonly HashSet<Mnemonic> s_environment =
    [
        Mnemonic.Cpuid, Mnemonic.Rdmsr, Mnemonic.Wrmsr, Mnemonic.In, Mnemonic.Out, Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd, Mnemonic.Outsb,
        Mnemonic.Outsw, Mnemonic.Outsd, Mnemonic.Hlt, Mnemonic.Cli, Mnemonic.Sti, Mnemonic.Lgdt, Mnemonic.Lidt, Mnemonic.Lldt, Mnemonic.Ltr, Mnemonic.Sgdt,
        Mnemonic.Sidt, Mnemonic.Sldt, Mnemonic.Str, Mnemonic.Smsw, Mnemonic.Lmsw, Mnemonic.Clts, Mnemonic.Lar, Mnemonic.Lsl, Mnemonic.Verr, Mnemonic.Verw,
        Mnemonic.Invlpg, Mnemonic.Invd, Mnemonic.Wbinvd, Mnemonic.Rdpmc, Mnemonic.Rdtscp, Mnemonic.Rdpid, Mnemonic.Xgetbv, Mnemonic.Xsetbv, Mnemonic.Swapgs,
        Mnemonic.Sysret, Mnemonic.Sysretq, Mnemonic.Sysenter, Mnemonic.Sysexit, Mnemonic.Sysexitq, Mnemonic.Iret, Mnemonic.Iretd, Mnemonic.Iretq,
        Mnemonic.Retf, Mnemonic.Int, Mnemonic.Int1, Mnemonic.Rdfsbase, Mnemonic.Rdgsbase, Mnemonic.Wrfsbase, Mnemonic.Wrgsbase, Mnemonic.Ud2,
        Mnemonic.Lss, Mnemonic.Lfs, Mnemonic.Lgs,
    ];

    /// <summary>The hint space 0F0D, 0F18 to 0F1F is no-ops, as on a processor that knows none of the hints.</summary>
    public const DecoderOptions DecoderOptions = Iced.Intel.DecoderOptions.ForceReservedNop;

    /// <summary>rdtsc is carried out by the monitor.</summary>
    public bool HandsOverTimestamp { get; set; }

    private readonly Handling[] _byCode = new Handling[Enum.GetValues<Code>().Length];

    /// <summary>How to handle a decoded instruction.</summary>
    public Handling Classify(in Instruction instruction)
    {
        Handling handling = _byCode[(int)instruction.Code];
        if (handling == Handling.Unknown)
        {
            handling = Decide(instruction);
            _byCode[(int)instruction.Code] = handling;
        }

        return HandsOverTimestamp && instruction.Code == Code.Rdtsc ? Handling.Environment : handling;
    }

    private static Handling Decide(in Instruction instruction)
    {
        if (instruction.IsInvalid || instruction.Encoding is not (EncodingKind.Legacy or EncodingKind.VEX))
        {
            return Handling.Undefined;
        }

        Mnemonic mnemonic = instruction.Mnemonic;
        if (mnemonic == Mnemonic.Movsd || mnemonic == Mnemonic.Cmpsd)
        {
            // Two instructions of one name: the string form and the SSE2 form.
            return instruction.IsStringInstruction ? Handling.Interpret : Handling.Copy;
        }

        if (instruction.Code is Code.Mov_rm16_Sreg or Code.Mov_r32m16_Sreg or Code.Mov_r64m16_Sreg)
        {
            return Handling.ReadSelector;
        }

        if (instruction.Code is Code.Mov_Sreg_rm16 or Code.Mov_Sreg_r32m16 or Code.Mov_Sreg_r64m16
            or Code.Mov_r64_cr or Code.Mov_cr_r64 or Code.Mov_r64_dr or Code.Mov_dr_r64)
        {
            return Handling.Environment;
        }

        switch (mnemonic)
        {
            case Mnemonic.Lea:
                return Handling.Lea;
            case Mnemonic.Push:
                return instruction.Code is Code.Pushw_FS or Code.Pushw_GS or Code.Pushq_FS or Code.Pushq_GS ? Handling.Interpret : Handling.Push;
            case Mnemonic.Pop:
                return instruction.Code is Code.Popw_FS or Code.Popw_GS or Code.Popq_FS or Code.Popq_GS ? Handling.Environment : Handling.Pop;
            case Mnemonic.Leave:
                return instruction.Code == Code.Leaveq ? Handling.Leave : Handling.Interpret;
            case Mnemonic.Ret:
                return instruction.Code is Code.Retnq or Code.Retnq_imm16 ? Handling.Return : Handling.Undefined;
            case Mnemonic.Loop or Mnemonic.Loope or Mnemonic.Loopne or Mnemonic.Jrcxz or Mnemonic.Jecxz or Mnemonic.Jcxz:
                return Handling.Loop;
            case Mnemonic.Xlatb:
                return Handling.Translate;
            case Mnemonic.Syscall:
                return Handling.Syscall;
            case Mnemonic.Int3:
                return Handling.Breakpoint;
        }

        if (s_environment.Contains(mnemonic))
        {
            return Handling.Environment;
        }

        switch (instruction.FlowControl)
        {
            case FlowControl.Call or FlowControl.IndirectCall:
                return instruction.IsCallFar || instruction.IsCallFarIndirect ? Handling.Environment
                    : instruction.Code is Code.Call_rel32_64 or Code.Call_rm64 ? Handling.Call : Handling.Undefined;
            case FlowControl.UnconditionalBranch or FlowControl.IndirectBranch:
                return instruction.IsJmpFar || instruction.IsJmpFarIndirect ? Handling.Environment
                    : instruction.Code is Code.Jmp_rel8_64 or Code.Jmp_rel32_64 or Code.Jmp_rm64 ? Handling.Jump : Handling.Undefined;
            case FlowControl.ConditionalBranch:
                return instruction.IsJccShortOrNear && instruction.NearBranch64 == instruction.NearBranchTarget ? Handling.ConditionalJump : Handling.Undefined;
        }

        if (s_nothing.Contains(mnemonic))
        {
            return Handling.Nothing;
        }

        if (s_interpreted.Contains(mnemonic))
        {
            return Handling.Interpret;
        }

        if (instruction.Code is Code.Bt_rm16_r16 or Code.Bt_rm32_r32 or Code.Bt_rm64_r64 or Code.Bts_rm16_r16 or Code.Bts_rm32_r32 or Code.Bts_rm64_r64
            or Code.Btr_rm16_r16 or Code.Btr_rm32_r32 or Code.Btr_rm64_r64 or Code.Btc_rm16_r16 or Code.Btc_rm32_r32 or Code.Btc_rm64_r64)
        {
            return Handling.BitString;
        }

        if (s_copiedInteger.Contains(mnemonic))
        {
            return Handling.Copy;
        }

        CpuidFeature[] features = instruction.CpuidFeatures;
        return features.Length > 0 && Array.TrueForAll(features, s_copiedFeatures.Contains) ? Handling.Copy : Handling.Undefined;
    }
}
