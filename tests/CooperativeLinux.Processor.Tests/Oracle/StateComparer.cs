using System.Buffers.Binary;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>Finds the differences between what the processor did and what something else did.</summary>
internal static class StateComparer
{
    public static readonly string[] RegisterNames =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

    private const int MaxBytesShown = 32, Rsp = 4;

    /// <summary>The host keeps the last page below the non-canonical hole for itself, too.</summary>
    private const ulong LastUserPage = 0x7FFF_FFFF_F000;
    private const byte DebugVector = 1, BreakpointVector = 3, StackFaultVector = 12, GeneralProtectionVector = 13, PageFaultVector = 14, X87ErrorVector = 16;

    /// <summary>From here an fxsave image has FOP, FIP and FDP: they name host addresses where code is translated.</summary>
    private const int X87PointersStart = 6, X87RegistersStart = 32, X87RegistersEnd = 160;

    /// <summary>Whether the results agree. Fast; allocates nothing.</summary>
    public static bool AreEqual(TestCase test, TestState expected, TestState actual) =>
        RegistersEqual(test, expected, actual)
        && (expected.Rip == actual.Rip || IsAtBranchTarget(test, expected, actual))
        && FlagDifference(test, expected, actual) == 0
        && expected.FsBase == actual.FsBase
        && expected.GsBase == actual.GsBase
        && expected.Mxcsr == actual.Mxcsr
        && OutcomesEqual(test, expected.Outcome, actual.Outcome)
        && (VectorsTolerated(test, expected) || expected.Vectors.AsSpan().SequenceEqual(actual.Vectors))
        && (!test.Start.UsesX87 || X87Equal(expected.X87, actual.X87))
        && (expected.Memory.AsSpan().SequenceEqual(actual.Memory) || !MemoryDifferences(test, expected, actual).Any());

    /// <summary>One line per difference: what, expected, got.</summary>
    public static IEnumerable<string> Differences(TestCase test, TestState expected, TestState actual)
    {
        if (!OutcomesEqual(test, expected.Outcome, actual.Outcome))
        {
            yield return $"outcome: expected {expected.Outcome}, got {actual.Outcome}";
        }

        if (expected.Rip != actual.Rip && !IsAtBranchTarget(test, expected, actual))
        {
            yield return $"rip: expected {expected.Rip:x}, got {actual.Rip:x}";
        }

        for (int i = 0; i < 16; i++)
        {
            if (expected.Registers[i] != actual.Registers[i] && !IsIgnored(test, i, expected, actual))
            {
                yield return $"{RegisterNames[i]}: expected {expected.Registers[i]:x}, got {actual.Registers[i]:x}";
            }
        }

        ulong flags = FlagDifference(test, expected, actual);
        if (flags != 0)
        {
            yield return $"rflags: expected {expected.Rflags:x}, got {actual.Rflags:x} (differ in {flags:x})";
        }

        if (expected.FsBase != actual.FsBase || expected.GsBase != actual.GsBase)
        {
            yield return $"fs/gs base: expected {expected.FsBase:x}/{expected.GsBase:x}, got {actual.FsBase:x}/{actual.GsBase:x}";
        }

        if (expected.Mxcsr != actual.Mxcsr)
        {
            yield return $"mxcsr: expected {expected.Mxcsr:x}, got {actual.Mxcsr:x}";
        }

        for (int i = 0; i < 16; i++)
        {
            ReadOnlySpan<byte> e = expected.Vectors.AsSpan(32 * i, 32), a = actual.Vectors.AsSpan(32 * i, 32);
            if (!e.SequenceEqual(a) && !VectorsTolerated(test, expected))
            {
                yield return $"ymm{i}: expected {Convert.ToHexStringLower(e)}, got {Convert.ToHexStringLower(a)}";
            }
        }

        if (test.Start.UsesX87 && !X87Equal(expected.X87, actual.X87))
        {
            yield return $"x87: expected {DescribeX87(expected.X87)}, got {DescribeX87(actual.X87)}";
        }

        foreach (string difference in MemoryDifferences(test, expected, actual))
        {
            yield return difference;
        }
    }

    private static bool VectorsTolerated(TestCase test, TestState expected) =>
        (test.Tolerance & FaultTolerance.VectorsOnFault) != 0 && expected.Outcome.Vector == PageFaultVector;

    private static ulong FlagDifference(TestCase test, TestState expected, TestState actual)
    {
        bool faulted = expected.Outcome.Kind == OutcomeKind.Exception && expected.Outcome.Vector != BreakpointVector;
        return (expected.Rflags ^ actual.Rflags) & ~(faulted ? test.UndefinedFlags | test.FlagsLostOnFault : test.UndefinedFlags);
    }

    private static bool RegistersEqual(TestCase test, TestState expected, TestState actual)
    {
        for (int i = 0; i < 16; i++)
        {
            if (expected.Registers[i] != actual.Registers[i] && !IsIgnored(test, i, expected, actual))
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsIgnored(TestCase test, int register, TestState expected, TestState actual) =>
        (test.IgnoredRegisters >> register & 1) != 0 || (register == Rsp && IsAtBranchTarget(test, expected, actual));

    private static bool IsAtBranchTarget(TestCase test, TestState expected, TestState actual) =>
        (test.Tolerance & FaultTolerance.AtBranchTarget) != 0
        && expected.Outcome.Vector == GeneralProtectionVector && actual.Outcome == expected.Outcome && !CooperativeLinux.Processor.Memory.Mmu.IsCanonical(actual.Rip);

    private static bool OutcomesEqual(TestCase test, Outcome expected, Outcome actual)
    {
        if (expected == actual)
        {
            return true;
        }

        // What a random branch into the middle of an instruction can meet: the environment raises the fault then.
        if (actual.Kind == OutcomeKind.SystemInstruction)
        {
            return expected.Kind == OutcomeKind.Exception && expected.Vector is GeneralProtectionVector or DebugVector;
        }

        if (expected.Kind != actual.Kind)
        {
            return false;
        }

        bool anyOrder = (test.Tolerance & FaultTolerance.PageFaultFirst) != 0;
        if (actual.Vector is StackFaultVector or GeneralProtectionVector)
        {
            // A misaligned operand at a non-canonical address of the stack segment: #GP for the one, #SS for the other. An operand that
            // begins below the non-canonical hole. A non-canonical address while an x87 exception is pending.
            bool atHole = expected.Vector == PageFaultVector && expected.Address - LastUserPage < TestLayout.PageSize;
            return anyOrder && (expected.Vector is GeneralProtectionVector or StackFaultVector or X87ErrorVector || atHole);
        }

        if (actual.Vector != PageFaultVector)
        {
            return false;
        }

        if (expected.Vector != PageFaultVector)
        {
            return expected.Vector is GeneralProtectionVector or StackFaultVector or X87ErrorVector && anyOrder;
        }

        // A host kernel claims "present" for every user access to its own half; a guest's tables tell the truth there.
        bool upperHalf = expected.Address >= LastUserPage && (expected.ErrorCode | 1) == (actual.ErrorCode | 1) && expected.Address == actual.Address;
        return upperHalf || (test.Tolerance & FaultTolerance.OtherPageFault) != 0;
    }

    private static bool X87Equal(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        if (!expected[..X87PointersStart].SequenceEqual(actual[..X87PointersStart]))
        {
            return false;
        }

        // Empty registers hold leftovers that no program looks at; the image is in stack order, its tags are in register order.
        int top = expected[3] >> 3;
        for (int i = 0; i < 8; i++)
        {
            bool valid = (expected[4] >> ((top + i) & 7) & 1) != 0;
            int register = X87RegistersStart + (16 * i);
            if (valid && !expected.Slice(register, 10).SequenceEqual(actual.Slice(register, 10)))
            {
                return false;
            }
        }

        return true;
    }

    private static string DescribeX87(ReadOnlySpan<byte> image)
    {
        string registers = "";
        for (int register = X87RegistersStart; register < X87RegistersEnd; register += 16)
        {
            registers += $" {BinaryPrimitives.ReadUInt16LittleEndian(image[(register + 8)..]):x4}{BinaryPrimitives.ReadUInt64LittleEndian(image[register..]):x16}";
        }

        return $"cw {BinaryPrimitives.ReadUInt16LittleEndian(image):x} sw {BinaryPrimitives.ReadUInt16LittleEndian(image[2..]):x} tags {image[4]:x}{registers}";
    }

    private static IEnumerable<string> MemoryDifferences(TestCase test, TestState expected, TestState actual)
    {
        for (int i = 0; i < expected.Memory.Length; i++)
        {
            if (expected.Memory[i] == actual.Memory[i] || IsIgnored(test, TestLayout.AddressOf(i)))
            {
                continue;
            }

            int length = Math.Min(MaxBytesShown, TestLayout.PageSize - (i % TestLayout.PageSize));
            yield return $"memory {TestLayout.AddressOf(i):x}: expected {Convert.ToHexStringLower(expected.Memory, i, length)}, got {Convert.ToHexStringLower(actual.Memory, i, length)}";
            i += length - 1;
        }
    }

    private static bool IsIgnored(TestCase test, ulong address)
    {
        long offset = TestLayout.RegionOffset(address);
        foreach (IgnoredBytes range in test.IgnoredMemory)
        {
            long start = TestLayout.RegionOffset(range.Address);
            if (offset >= start && offset < start + range.Length)
            {
                return true;
            }
        }

        return false;
    }
}
