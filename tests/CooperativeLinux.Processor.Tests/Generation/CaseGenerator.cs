using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>
/// Builds cases of one instruction from what its encoding allows. The same seed, instruction and index always give the
/// same case.
/// </summary>
internal sealed class CaseGenerator(ulong seed)
{
    private const int Attempts = 20;

    private readonly byte[] _pattern = TestLayout.CreatePattern();

    /// <summary>Compares flags that the manuals leave undefined, too: a copied instruction keeps even those.</summary>
    public bool CompareUndefinedFlags { get; init; }

    /// <summary>Compares flags that the faulting instruction would have written, too.</summary>
    public bool CompareFlagsOfFaults { get; init; }

    /// <summary>A case for the instruction, or null if no encodable instance was found.</summary>
    public TestCase? Generate(Code code, int index)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            Rng rng = new(Rng.Mix(seed, (ulong)code, (ulong)index, (ulong)attempt));
            CaseDraft draft = new(rng, code, _pattern);
            if (!ChooseOperands(draft))
            {
                return null;
            }

            SpecialCases.Prepare(draft);
            ChooseLock(draft);
            byte[]? bytes = Encode(draft);
            if (bytes is not null && IsComparable(draft))
            {
                return Finish(draft, MutatePrefixes(draft, bytes), index);
            }
        }

        return null;
    }

    private static bool ChooseOperands(CaseDraft draft)
    {
        for (int operand = 0; operand < draft.Info.OpCount; operand++)
        {
            if (!OperandChooser.Choose(draft, operand))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Mostly where allowed; sometimes where it must raise #UD.</summary>
    private static void ChooseLock(CaseDraft draft)
    {
        bool memory = draft.Target != 0 && draft.Instruction.Op0Kind == OpKind.Memory;
        draft.Instruction.HasLockPrefix = draft.Info.CanUseLockPrefix && memory ? draft.Rng.Chance(3) : draft.Info.Encoding == EncodingKind.Legacy && draft.Rng.Chance(100);
    }

    /// <summary>movsxd with a 16-bit destination reads four bytes of memory on AMD and two on Intel. The mask of a state image in rax
    /// must not name components of the host only, so it cannot be an address.</summary>
    private static bool IsComparable(CaseDraft draft)
    {
        ref Instruction instruction = ref draft.Instruction;
        bool isImage = draft.Info.MemorySize is MemorySize.Xsave or MemorySize.Xsave64;
        return isImage ? instruction.MemoryBase.GetFullRegister() != Register.RAX && instruction.MemoryIndex.GetFullRegister() != Register.RAX
            : draft.Info.Code != Code.Movsxd_r16_rm16 || instruction.Op1Kind != OpKind.Memory;
    }

    private static byte[]? Encode(CaseDraft draft)
    {
        ByteWriter writer = new();
        Encoder encoder = Encoder.Create(64, writer);
        return encoder.TryEncode(draft.Instruction, draft.State.Rip, out _, out _) ? writer.ToArray() : null;
    }

    /// <summary>Now and then adds a prefix that changes nothing, or makes the instruction invalid.</summary>
    private static byte[] MutatePrefixes(CaseDraft draft, byte[] bytes)
    {
        // The wait forms are two instructions, and a branch would miss its checked target.
        if (!draft.Rng.Chance(12) || bytes[0] == 0x9B || draft.Instruction.FlowControl != FlowControl.Next || draft.IgnoredRegisters != 0 || bytes.Length > 13)
        {
            return bytes;
        }

        byte prefix = draft.Rng.Pick<byte>([0x2E, 0x3E, 0x26, 0x36, 0x66, 0xF2, 0xF3, 0x67, 0x40, 0x41, 0x48, 0x4F]);
        byte[] mutated = [prefix, .. bytes];
        Instruction before = Decode(bytes, draft.State.Rip), after = Decode(mutated, draft.State.Rip);

        // rip-relative operands move with the length.
        bool sameOperands = after.Code == before.Code && !after.IsInvalid
            && after.MemoryBase == before.MemoryBase && after.MemoryIndex == before.MemoryIndex && !after.IsIPRelativeMemoryOperand
            && after.Op0Kind == before.Op0Kind && after.Op1Kind == before.Op1Kind && after.MemoryDisplSize == before.MemoryDisplSize
            && after.MemoryDisplacement64 == before.MemoryDisplacement64
            && (after.MemorySegment == before.MemorySegment || (after.SegmentPrefix is not (Register.FS or Register.GS) && before.SegmentPrefix is not (Register.FS or Register.GS)))
            && after.HasRepPrefix == before.HasRepPrefix && after.HasRepnePrefix == before.HasRepnePrefix
            && after.Length == mutated.Length;
        // How many bytes of an invalid instruction are fetched is nobody's business: not where the next page is absent.
        bool atEnd = TestLayout.RegionOffset(draft.State.Rip) > ((TestLayout.CodeLast + 1) * TestLayout.PageSize) - 16;
        return sameOperands || (after.IsInvalid && draft.Info.Encoding == EncodingKind.VEX && !atEnd) ? mutated : bytes;
    }

    private static Instruction Decode(byte[] bytes, ulong address) => Decoder.Create(64, bytes, address).Decode();

    private TestCase Finish(CaseDraft draft, byte[] bytes, int index)
    {
        draft.State.Write(draft.State.Rip, bytes);
        Instruction decoded = Decode(bytes, draft.State.Rip);
        TestCase test = new()
        {
            Name = $"{draft.Info.Code} {index}",
            Start = draft.State,
            CodeLength = bytes.Length,
            UndefinedFlags = (CompareUndefinedFlags ? 0 : FlagMasks.ToRflags(decoded.RflagsUndefined)) | RandomFlags(decoded),
            FlagsLostOnFault = CompareFlagsOfFaults ? 0 : FlagMasks.ToRflags(decoded.RflagsModified),
            Tolerance = ToleranceOf(decoded),
            IgnoredRegisters = draft.IgnoredRegisters,
        };
        test.IgnoredMemory.AddRange(draft.IgnoredMemory);
        return test;
    }

    /// <summary>The carry tells whether there was a random number, which nobody can foresee.</summary>
    private static ulong RandomFlags(in Instruction instruction) => instruction.Mnemonic is Mnemonic.Rdrand or Mnemonic.Rdseed ? 1u : 0;

    private static FaultTolerance ToleranceOf(in Instruction instruction) => instruction.Mnemonic switch
    {
        Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsq or Mnemonic.Fxsave or Mnemonic.Fxsave64 or Mnemonic.Xsave or Mnemonic.Xsave64
            or Mnemonic.Xsavec or Mnemonic.Xsavec64 or Mnemonic.Xsaveopt or Mnemonic.Xsaveopt64 or Mnemonic.Xrstor or Mnemonic.Xrstor64
            or Mnemonic.Fnstenv or Mnemonic.Fnsave or Mnemonic.Fldenv or Mnemonic.Frstor or Mnemonic.Maskmovq or Mnemonic.Maskmovdqu or Mnemonic.Vmaskmovdqu
            => FaultTolerance.OtherPageFault | FaultTolerance.PageFaultFirst,
        Mnemonic.Wait => FaultTolerance.OtherPageFault | FaultTolerance.PageFaultFirst,
        _ when instruction.IsVsib => FaultTolerance.VectorsOnFault,
        _ when instruction.Code == Code.Cmpsd_m32_m32 => FaultTolerance.OtherPageFault,

        // Also where a segment's base makes a canonical address out of one that is not: AMD's processors refuse some of them.
        _ => instruction.MemorySize.GetSize() > 1 || instruction.SegmentPrefix is Register.FS or Register.GS ? FaultTolerance.PageFaultFirst : FaultTolerance.None,
    };

    private sealed class ByteWriter : CodeWriter
    {
        private readonly List<byte> _bytes = new(16);

        public override void WriteByte(byte value) => _bytes.Add(value);

        public byte[] ToArray() => [.. _bytes];
    }
}
