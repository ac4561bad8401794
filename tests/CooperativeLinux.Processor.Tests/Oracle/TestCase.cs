using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>A range of bytes whose values after a run are not compared.</summary>
internal readonly record struct IgnoredBytes(ulong Address, int Length);

/// <summary>Differences in how a faulting run ends that are accepted, because processors differ in them or a restart hides them.</summary>
[Flags]
internal enum FaultTolerance
{
    None = 0,

    /// <summary>A page fault where the processor finds a misaligned or half non-canonical operand, or a pending x87 exception, first.</summary>
    PageFaultFirst = 1,

    /// <summary>Another page, or another access kind, of an instruction that touches several places.</summary>
    OtherPageFault = 2,

    /// <summary>Vector registers after a fault: how far a gather came.</summary>
    VectorsOnFault = 4,

    /// <summary>A branch to a non-canonical address is reported at that address, after the branch, where the processor reports it at the branch.</summary>
    AtBranchTarget = 8,
}

/// <summary>A start state (the code is part of its memory) and what of the result must agree.</summary>
internal sealed class TestCase
{
    public required string Name { get; init; }

    public required TestState Start { get; init; }

    /// <summary>Bytes of code from <see cref="TestState.Rip"/>, for disassembly.</summary>
    public required int CodeLength { get; init; }

    /// <summary>Flags with an architecturally undefined value.</summary>
    public ulong UndefinedFlags { get; set; }

    /// <summary>Flags that are not compared if the run ends with a fault: the translator lets the instruction, which would overwrite
    /// them when it is restarted, lose them before.</summary>
    public ulong FlagsLostOnFault { get; set; }

    /// <summary>General registers that are not compared, by bit.</summary>
    public uint IgnoredRegisters { get; set; }

    public FaultTolerance Tolerance { get; set; }

    public List<IgnoredBytes> IgnoredMemory { get; } = [];

    /// <summary>One line per instruction.</summary>
    public IEnumerable<string> Disassemble()
    {
        byte[] code = new byte[CodeLength];
        Start.Read(Start.Rip, code);
        Decoder decoder = Decoder.Create(64, code, Start.Rip);
        NasmFormatter formatter = new();
        StringOutput output = new();
        while (decoder.IP - Start.Rip < (ulong)code.Length)
        {
            int offset = (int)(decoder.IP - Start.Rip);
            Instruction instruction = decoder.Decode();
            int length = Math.Clamp(instruction.Length, 1, code.Length - offset);
            formatter.Format(instruction, output);
            yield return $"{Start.Rip + (ulong)offset:x}: {Convert.ToHexStringLower(code, offset, length),-22} {output.ToStringAndReset()}";
        }
    }
}
