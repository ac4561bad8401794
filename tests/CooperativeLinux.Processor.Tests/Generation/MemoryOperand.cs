using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>Gives an instruction a memory operand of a random shape and sets the registers so that it names a given place.</summary>
internal static class MemoryOperand
{
    private enum Shape
    {
        Base,
        BaseDisplacement8,
        BaseDisplacement32,
        BaseIndex,
        BaseIndexDisplacement8,
        BaseIndexDisplacement32,
        Index,
        RipRelative,
        Absolute,
        Count,
    }

    /// <summary>Sets the memory fields of the draft's instruction.</summary>
    /// <param name="draft">The case.</param>
    /// <param name="size">Bytes accessed.</param>
    /// <param name="anywhere">The address is only computed, not accessed.</param>
    public static void Choose(CaseDraft draft, int size, bool anywhere)
    {
        Rng rng = draft.Rng;
        Shape shape = rng.Chance(3) ? (Shape)rng.Below(3) : (Shape)rng.Below((int)Shape.Count);
        bool short32 = rng.Chance(12);
        if (short32 || shape == Shape.Absolute)
        {
            draft.DataView = TestLayout.Low;
        }
        else if (shape == Shape.RipRelative)
        {
            draft.DataView = draft.CodeView;
        }

        ulong target = TargetPicker.Pick(rng, size, draft.DataView);
        bool freeBase = !short32 && shape is not (Shape.Absolute or Shape.RipRelative);
        if (freeBase && rng.Chance(anywhere ? 2 : 50))
        {
            target = rng.Chance(2) ? 0x8000_0000_0000_0000 | rng.Next() >> 2 : rng.Pick<ulong>([0x7FFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFF8, 0xFFFF_8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 0]);
        }

        Place(draft, shape, short32, target);
        draft.Target = target;
        draft.TargetSize = size;
    }

    /// <summary>The moffs form: an absolute address in the instruction.</summary>
    public static void ChooseOffset(CaseDraft draft, int size)
    {
        bool short32 = draft.Rng.Chance(4);
        draft.DataView = short32 ? TestLayout.Low : draft.DataView;
        draft.Target = TargetPicker.Pick(draft.Rng, size, draft.DataView);
        draft.TargetSize = size;
        ulong offset = draft.Rng.Chance(4) ? ThroughSegment(draft, draft.Target, maxOffset: short32 ? 0x7FFF_FFFFul : ulong.MaxValue) : draft.Target;
        draft.Instruction.MemoryDisplacement64 = offset;
        draft.Instruction.MemoryDisplSize = short32 ? 4 : 8;
    }

    /// <summary>A gather's operand: every lane of the index register names its own place.</summary>
    public static void ChooseVector(CaseDraft draft, Register indexBase, bool wideIndices, int elementSize)
    {
        Rng rng = draft.Rng;
        Register vector = indexBase + rng.Below(16);
        Register baseRegister = Register.RAX + draft.PickRegister();
        int scale = 1 << rng.Below(4);
        int displacement = rng.Chance(2) ? 0 : rng.Between(-500, 500);
        ulong center = TargetPicker.Pick(rng, elementSize, draft.DataView) & ~7ul;
        draft.Pin(baseRegister, center);
        draft.Instruction.MemoryBase = baseRegister;
        draft.Instruction.MemoryIndex = vector;
        draft.Instruction.MemoryIndexScale = scale;
        draft.Instruction.MemoryDisplacement64 = (ulong)displacement;
        draft.Instruction.MemoryDisplSize = displacement == 0 ? 0 : 8;

        Span<byte> lanes = draft.State.Vectors.AsSpan(32 * (vector.GetNumber() & 15), 32);
        int laneSize = wideIndices ? 8 : 4;
        for (int i = 0; i < 32; i += laneSize)
        {
            ulong place = rng.Chance(12) ? TargetPicker.Pick(rng, elementSize, draft.DataView) : center + (ulong)rng.Between(-100, 100);
            long index = (long)(place - center - (ulong)displacement) / scale;
            BitConverter.TryWriteBytes(lanes[i..], wideIndices ? index : (index & 0xFFFF_FFFF));
            if (!wideIndices)
            {
                BitConverter.TryWriteBytes(lanes[i..], (int)index);
            }
        }

        draft.Target = center;
        draft.TargetSize = elementSize;
    }

    private static void Place(CaseDraft draft, Shape shape, bool short32, ulong target)
    {
        Rng rng = draft.Rng;
        ref Instruction instruction = ref draft.Instruction;
        bool segment = rng.Chance(10);
        ulong offset = target;
        if (segment)
        {
            ulong limit = short32 || shape == Shape.Absolute ? 0x7FFF_FFFF : shape == Shape.RipRelative ? target : ulong.MaxValue;
            offset = ThroughSegment(draft, target, limit, near: shape == Shape.RipRelative);
        }
        else if (rng.Chance(20))
        {
            instruction.SegmentPrefix = rng.Pick<Register>([Register.ES, Register.CS, Register.SS, Register.DS]);
        }

        Register first = short32 ? Register.EAX : Register.RAX;
        int wide = short32 ? 4 : 8;
        if (shape == Shape.Absolute)
        {
            instruction.MemoryDisplacement64 = offset;
            instruction.MemoryDisplSize = wide;
            return;
        }

        if (shape == Shape.RipRelative)
        {
            instruction.MemoryBase = short32 ? Register.EIP : Register.RIP;
            instruction.MemoryDisplacement64 = offset;
            instruction.MemoryDisplSize = wide;
            return;
        }

        bool hasBase = shape != Shape.Index;
        bool hasIndex = shape is Shape.BaseIndex or Shape.BaseIndexDisplacement8 or Shape.BaseIndexDisplacement32 or Shape.Index;
        int displacementSize = shape switch
        {
            Shape.Base or Shape.BaseIndex => 0,
            Shape.BaseDisplacement8 or Shape.BaseIndexDisplacement8 => 1,
            _ => 4,
        };
        long displacement = displacementSize switch
        {
            0 => 0,
            1 => (sbyte)rng.Next(),
            _ => rng.Chance(2) ? rng.Between(-0x2000, 0x2000) : (int)rng.Next(),
        };
        int baseNumber = draft.PickRegister();
        int indexNumber = draft.PickRegister();
        if (indexNumber == 4)
        {
            indexNumber = 12;
        }

        int scale = hasIndex ? 1 << rng.Below(4) : 1;
        if (hasBase)
        {
            instruction.MemoryBase = first + baseNumber;
        }

        if (hasIndex)
        {
            instruction.MemoryIndex = first + indexNumber;
            instruction.MemoryIndexScale = scale;
        }

        if (hasIndex && hasBase && indexNumber == baseNumber && scale == 1)
        {
            // base + base: the rest must be even.
            displacement -= displacementSize == 0 ? 0 : (displacement ^ (long)offset) & 1;
            displacement = displacementSize == 1 ? (sbyte)displacement : displacement;
        }
        else if (!hasBase)
        {
            displacement = displacement - ((displacement - (long)offset) & (scale - 1));
            displacement = (int)displacement;
        }

        instruction.MemoryDisplacement64 = (ulong)displacement;
        instruction.MemoryDisplSize = displacementSize == 4 ? wide : displacementSize;
        ulong rest = offset - (ulong)displacement;
        SetRegisters(draft, hasBase ? baseNumber : -1, hasIndex ? indexNumber : -1, scale, rest, short32);
    }

    /// <summary>Solves base + index * scale = rest. Upper halves of 32-bit address registers are noise.</summary>
    private static void SetRegisters(CaseDraft draft, int baseNumber, int indexNumber, int scale, ulong rest, bool short32)
    {
        Rng rng = draft.Rng;
        ulong noise = short32 ? rng.Next() << 32 : 0;
        ulong mask = short32 ? 0xFFFF_FFFF : ulong.MaxValue;
        ulong[] registers = draft.State.Registers;
        if (indexNumber < 0)
        {
            registers[baseNumber] = (rest & mask) | noise;
        }
        else if (baseNumber < 0)
        {
            registers[indexNumber] = ((rest / (ulong)scale) & mask) | noise;
        }
        else if (baseNumber == indexNumber)
        {
            // 3, 5 and 9 have inverses modulo 2^64.
            ulong value = scale switch
            {
                1 => rest / 2,
                2 => rest * 0xAAAA_AAAA_AAAA_AAAB,
                4 => rest * 0xCCCC_CCCC_CCCC_CCCD,
                _ => rest * 0x8E38_E38E_38E3_8E39,
            };
            registers[baseNumber] = (value & mask) | noise;
        }
        else
        {
            ulong index = rng.Below(3) switch
            {
                0 => (ulong)rng.Below(256),
                1 => (ulong)-(long)rng.Below(256),
                _ => draft.Values.Register(),
            };
            registers[indexNumber] = index;
            registers[baseNumber] = ((rest - (index * (ulong)scale)) & mask) | noise;
        }
    }

    /// <summary>Adds an fs or gs prefix and chooses its base.</summary>
    /// <returns>The offset that names <paramref name="target"/> through the segment.</returns>
    private static ulong ThroughSegment(CaseDraft draft, ulong target, ulong maxOffset, bool near = false)
    {
        Rng rng = draft.Rng;
        ulong offset = maxOffset == ulong.MaxValue
            ? target - rng.Pick<ulong>([0, 8, 0x1000, TestLayout.Low, TestLayout.High])
            : near ? target - (ulong)rng.Below(0x1000) : (ulong)rng.Below(0x7FFF_0000);
        ulong segmentBase = target - offset;
        if (rng.Chance(2))
        {
            draft.Instruction.SegmentPrefix = Register.FS;
            draft.State.FsBase = segmentBase;
        }
        else
        {
            draft.Instruction.SegmentPrefix = Register.GS;
            draft.State.GsBase = segmentBase;
        }

        return offset;
    }
}
