using System.Buffers.Binary;
using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Sets up what the operands alone do not say: stacks, strings, divisions that succeed, images to load.</summary>
internal static class SpecialCases
{
    /// <summary>Bits of a popped rflags image that would change how the host runs the test itself: TF and AC.</summary>
    private const ulong HostVisibleFlags = 0x4_0100;

    /// <summary>State components of the guest's processor model, and bits that no processor has a component for: what the host has besides
    /// (protection keys, AVX-512, tiles) must not take part.</summary>
    private const ulong AllFeatures = 0xFFFF_FFFF_7F80_0007;

    /// <summary>Prepares the state; runs after all operands are chosen.</summary>
    public static void Prepare(CaseDraft draft)
    {
        ref Instruction instruction = ref draft.Instruction;
        Mnemonic mnemonic = draft.Info.Mnemonic;
        switch (mnemonic)
        {
            case Mnemonic.Div or Mnemonic.Idiv:
                PrepareDivision(draft);
                break;
            case Mnemonic.Cmpxchg or Mnemonic.Cmpxchg8b or Mnemonic.Cmpxchg16b:
                PrepareCompareExchange(draft);
                break;
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc when instruction.Op0Kind == OpKind.Memory && instruction.Op1Kind == OpKind.Register:
                PrepareBitString(draft);
                break;
            case Mnemonic.Xlatb:
                ulong place = TargetPicker.Pick(draft.Rng, 1, instruction.MemoryBase == Register.EBX ? TestLayout.Low : draft.DataView);
                draft.Pin(Register.RBX, (place - (byte)draft.Value(Register.RAX)) | (instruction.MemoryBase == Register.EBX ? draft.Rng.Next() << 32 : 0));
                MaybeSegment(draft, Register.RBX, instruction.MemoryBase == Register.EBX);
                break;
            case Mnemonic.Maskmovq or Mnemonic.Maskmovdqu or Mnemonic.Vmaskmovdqu:
                PrepareMaskedMove(draft);
                break;
            case Mnemonic.Loop or Mnemonic.Loope or Mnemonic.Loopne or Mnemonic.Jrcxz or Mnemonic.Jecxz:
                PrepareCounter(draft);
                break;
            case Mnemonic.Call or Mnemonic.Jmp when instruction.Op0Kind is OpKind.Register or OpKind.Memory:
                PrepareIndirectBranch(draft);
                break;
            case Mnemonic.Fxsave or Mnemonic.Fxsave64:
                IgnoreImageDetails(draft, AlignTarget(draft, 16));
                break;
            case Mnemonic.Fxrstor or Mnemonic.Fxrstor64:
                WriteImage(draft, AlignTarget(draft, 16));
                break;
            case Mnemonic.Xsave or Mnemonic.Xsave64 or Mnemonic.Xsavec or Mnemonic.Xsavec64 or Mnemonic.Xsaveopt or Mnemonic.Xsaveopt64:
                IgnoreImageDetails(draft, AlignTarget(draft, 64));
                draft.Pin(Register.RAX, draft.Rng.Pick<ulong>([7, 7, 3, 1, 2, 4, 0, AllFeatures]));
                break;
            case Mnemonic.Xrstor or Mnemonic.Xrstor64:
                PrepareRestore(draft);
                break;
            case Mnemonic.Fnstenv or Mnemonic.Fstenv or Mnemonic.Fnsave or Mnemonic.Fsave:
                draft.IgnoredMemory.Add(new IgnoredBytes(draft.Target + (instruction.Code is Code.Fnstenv_m14byte or Code.Fstenv_m14byte or Code.Fnsave_m94byte or Code.Fsave_m94byte ? 6ul : 12), 16));
                break;
            case Mnemonic.Rdtsc:
                draft.IgnoredRegisters |= 0b101;
                break;
            case Mnemonic.Rdrand or Mnemonic.Rdseed:
                draft.IgnoredRegisters |= 1u << (instruction.Op0Register.GetFullRegister() - Register.RAX);
                break;
        }

        if (instruction.IsStringInstruction)
        {
            PrepareString(draft);
        }

        if (instruction.IsStackInstruction)
        {
            PrepareStack(draft);
        }
    }

    /// <summary>Instruction pointers name host addresses; the mxcsr mask says what the processor model has.</summary>
    private static void IgnoreImageDetails(CaseDraft draft, ulong image)
    {
        draft.IgnoredMemory.Add(new IgnoredBytes(image + 6, 18));
        draft.IgnoredMemory.Add(new IgnoredBytes(image + 28, 4));
    }

    private static void PrepareDivision(CaseDraft draft)
    {
        if (draft.Rng.Chance(3))
        {
            return;
        }

        // Half of the operands' range: the high part is small, or the sign of the low part.
        ulong low = draft.Value(Register.RAX);
        if (draft.Instruction.Op0Kind == OpKind.Register && draft.Instruction.Op0Register.GetFullRegister() is Register.RAX or Register.RDX)
        {
            return;
        }

        bool isByte = draft.Info.GetOpKind(0) == OpCodeOperandKind.r8_or_mem;
        if (isByte)
        {
            draft.Pin(Register.RAX, (low & ~0xFF00ul) | (draft.Rng.Chance(2) && (low & 0x80) != 0 ? 0xFF00u : (ulong)draft.Rng.Below(2) << 8));
        }
        else
        {
            draft.Pin(Register.RDX, draft.Rng.Chance(2) ? (ulong)((long)low >> 63) : (ulong)draft.Rng.Below(3));
        }
    }

    private static void PrepareCompareExchange(CaseDraft draft)
    {
        if (draft.Info.Mnemonic == Mnemonic.Cmpxchg16b && !draft.Rng.Chance(4))
        {
            AlignTarget(draft, 16);
        }

        if (draft.Rng.Chance(2) || draft.Target == 0)
        {
            return;
        }

        ulong low = draft.State.Read64(draft.Target), high = draft.State.Read64(draft.Target + 8);
        switch (draft.Info.Mnemonic)
        {
            case Mnemonic.Cmpxchg8b:
                SetUnlessAddress(draft, Register.RAX, (uint)low);
                SetUnlessAddress(draft, Register.RDX, low >> 32);
                break;
            case Mnemonic.Cmpxchg16b:
                SetUnlessAddress(draft, Register.RAX, low);
                SetUnlessAddress(draft, Register.RDX, high);
                break;
            default:
                SetUnlessAddress(draft, Register.RAX, low);
                break;
        }
    }

    /// <summary>The bit offset reaches out of the operand by up to a page in both directions.</summary>
    private static void PrepareBitString(CaseDraft draft)
    {
        int size = draft.Info.MemorySize.GetSize();
        long bytes = draft.Rng.Chance(3) ? 0 : draft.Rng.Between(-300, 300) * size;
        SetUnlessAddress(draft, draft.Instruction.Op1Register, ((ulong)(bytes * 8) + (ulong)draft.Rng.Below(8 * size)) | (size == 4 ? draft.Rng.Next() << 32 : 0));
    }

    private static void PrepareMaskedMove(CaseDraft draft)
    {
        bool short32 = draft.Instruction.Op0Kind == OpKind.MemorySegEDI;
        draft.Target = TargetPicker.Pick(draft.Rng, draft.Info.MemorySize.GetSize(), short32 ? TestLayout.Low : draft.DataView);
        draft.Pin(Register.RDI, draft.Target | (short32 ? draft.Rng.Next() << 32 : 0));
        MaybeSegment(draft, Register.RDI, short32);
    }

    private static void PrepareCounter(CaseDraft draft)
    {
        draft.Pin(Register.RCX, draft.Rng.Below(6) switch
        {
            0 => 0,
            1 => draft.Rng.Next() << 32,
            2 => (draft.Rng.Next() << 32) | 1,
            _ => (ulong)draft.Rng.Between(1, 9),
        });
        bool bounded = draft.Value(Register.RCX) is > 0 and < 10;
        if (bounded && draft.Rng.Chance(4) && draft.Info.Mnemonic is Mnemonic.Loop or Mnemonic.Loope or Mnemonic.Loopne)
        {
            draft.Instruction.NearBranch64 = draft.State.Rip;
        }
    }

    private static void PrepareIndirectBranch(CaseDraft draft)
    {
        ulong target = OperandChooser.BranchTarget(draft, draft.Rng.Chance(3) ? TestLayout.Low : TestLayout.High);
        if (draft.Instruction.Op0Kind == OpKind.Register)
        {
            draft.Pin(draft.Instruction.Op0Register, target);
        }
        else
        {
            draft.State.Write64(draft.Target, target);
        }
    }

    private static void PrepareRestore(CaseDraft draft)
    {
        ulong target = AlignTarget(draft, 64);
        WriteImage(draft, target);
        Span<byte> header = stackalloc byte[64];
        header.Clear();
        header[0] = (byte)(draft.Rng.Chance(2) ? 7 : draft.Rng.Below(8));
        if (draft.Rng.Chance(12))
        {
            header[draft.Rng.Below(64)] = (byte)draft.Rng.Next();
        }

        draft.State.Write(target + 512, header);
        Span<byte> upper = stackalloc byte[256];
        draft.Values.Fill(upper, ElementStyle.Integers64);
        draft.State.Write(target + 576, upper);
        draft.Pin(Register.RAX, draft.Rng.Pick<ulong>([7, 7, 7, 3, 1, 2, 4, 6, 5, 0, AllFeatures]));
    }

    private static void WriteImage(CaseDraft draft, ulong target)
    {
        Span<byte> image = stackalloc byte[512];
        draft.Values.FillX87(image, asMmx: draft.Rng.Chance(2));
        draft.Values.Fill(image[160..416], ElementStyle.Integers32);
        if (draft.Rng.Chance(8))
        {
            BinaryPrimitives.WriteUInt32LittleEndian(image[24..], draft.Rng.Chance(2) ? 0xFFFF_FFFF : 0x3F80);
        }

        draft.State.Write(target, image);
    }

    private static void PrepareString(CaseDraft draft)
    {
        Rng rng = draft.Rng;
        ref Instruction instruction = ref draft.Instruction;
        bool short32 = instruction.Op0Kind is OpKind.MemoryESEDI or OpKind.MemorySegESI || instruction.Op1Kind is OpKind.MemoryESEDI or OpKind.MemorySegESI;
        ulong view = short32 ? TestLayout.Low : draft.DataView;
        ulong noise = short32 ? rng.Next() << 32 : 0;
        int size = draft.Info.MemorySize.GetSize();
        ulong source = TargetPicker.Pick(rng, size, view), destination = TargetPicker.Pick(rng, size, view);
        if (rng.Chance(4))
        {
            // Overlapping operands.
            destination = source + (ulong)(rng.Between(-9, 9) * (rng.Chance(2) ? 1 : size));
        }

        draft.Pin(Register.RSI, source | noise);
        draft.Pin(Register.RDI, destination | noise);
        ulong count = rng.Below(6) switch
        {
            0 => (ulong)rng.Below(2),
            1 => (ulong)rng.Below(0x1800),
            2 => short32 ? 3ul : 0xFFFF_FFFF_0000,
            _ => (ulong)rng.Below(40),
        };
        draft.Pin(Register.RCX, count | noise);
        if (rng.Chance(3))
        {
            draft.State.Rflags |= 0x400;
        }

        if (draft.Info.Mnemonic is Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq or Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq
            && rng.Chance(2))
        {
            Span<byte> run = stackalloc byte[400];
            run.Fill((byte)draft.Value(Register.RAX));
            draft.State.Write(source - 200, run);
            draft.State.Write(destination - 200, run);
            draft.State.Write(destination + (ulong)rng.Between(-20, 20), [0x77]);
            draft.Pin(Register.RAX, 0x0101_0101_0101_0101ul * (byte)draft.Value(Register.RAX));
        }

        if (draft.Info.CanUseRepPrefix || draft.Info.CanUseRepnePrefix || rng.Chance(10))
        {
            instruction.HasRepPrefix = rng.Chance(2);
            instruction.HasRepnePrefix = !instruction.HasRepPrefix && rng.Chance(3);
        }

        if (instruction.Op0Kind is OpKind.MemorySegESI or OpKind.MemorySegRSI || instruction.Op1Kind is OpKind.MemorySegESI or OpKind.MemorySegRSI)
        {
            MaybeSegment(draft, Register.RSI, short32);
        }
    }

    private static void PrepareStack(CaseDraft draft)
    {
        Rng rng = draft.Rng;
        bool addressesByStack = draft.Instruction.MemoryBase.GetFullRegister() == Register.RSP || draft.Instruction.MemoryIndex.GetFullRegister() == Register.RSP;
        bool branchesByStack = draft.Info.Mnemonic is Mnemonic.Call or Mnemonic.Jmp && draft.Instruction.Op0Kind == OpKind.Register && draft.Instruction.Op0Register == Register.RSP;
        if (!addressesByStack && !branchesByStack)
        {
            draft.Pin(Register.RSP, TargetPicker.PickStack(rng, draft.DataView));
        }

        ulong top = draft.Value(Register.RSP);
        switch (draft.Info.Mnemonic)
        {
            case Mnemonic.Popf or Mnemonic.Popfq or Mnemonic.Popfd:
                draft.State.Write64(top, draft.Values.Register() & ~HostVisibleFlags);
                break;
            case Mnemonic.Ret:
                draft.State.Write64(top, OperandChooser.BranchTarget(draft, rng.Chance(3) ? TestLayout.Low : TestLayout.High));
                break;
            case Mnemonic.Enter or Mnemonic.Leave:
                draft.Pin(Register.RBP, TargetPicker.PickStack(rng, draft.DataView));
                break;
        }
    }

    /// <summary>Moves the target to an aligned address, mostly, when a base register without an index allows it.</summary>
    private static ulong AlignTarget(CaseDraft draft, ulong alignment)
    {
        ref Instruction instruction = ref draft.Instruction;
        ulong off = draft.Target & (alignment - 1);
        bool adjustable = instruction.MemoryIndex == Register.None && instruction.MemoryBase != Register.None && !instruction.IsIPRelativeMemoryOperand;
        if (off != 0 && adjustable && !draft.Rng.Chance(10))
        {
            draft.Pin(instruction.MemoryBase, draft.Value(instruction.MemoryBase) - off);
            draft.Target -= off;
        }

        return draft.Target;
    }

    private static void MaybeSegment(CaseDraft draft, Register pointer, bool short32)
    {
        if (!draft.Rng.Chance(6))
        {
            return;
        }

        ulong distance = short32 ? (ulong)draft.Rng.Below(0x1000_0000) : draft.Rng.Pick<ulong>([8, 0x1000, TestLayout.Low]);
        draft.Instruction.SegmentPrefix = Register.FS;
        draft.State.FsBase = distance;
        draft.Pin(pointer, short32 ? (uint)(draft.Value(pointer) - distance) | (draft.Rng.Next() << 32) : draft.Value(pointer) - distance);
    }

    private static void SetUnlessAddress(CaseDraft draft, Register register, ulong value)
    {
        Register full = register.GetFullRegister();
        if (full != draft.Instruction.MemoryBase.GetFullRegister() && full != draft.Instruction.MemoryIndex.GetFullRegister())
        {
            draft.Pin(register, value);
        }
    }
}
