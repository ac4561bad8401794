using CooperativeLinux.Processor.Tests.Oracle;
using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>A random program: items in order, each switched on or off, and the state it starts from.</summary>
internal sealed class RandomProgram(string name, TestState start, IReadOnlyList<ProgramItem> items)
{
    private const ulong ArithmeticFlags = 0x8D5;

    /// <summary>Items in code order; functions follow the main part.</summary>
    public IReadOnlyList<ProgramItem> Items { get; } = items;

    /// <summary>Instructions of the enabled items.</summary>
    public int InstructionCount => Items.Where(item => item.IsEnabled).Sum(item => item.Instructions.Count);

    /// <summary>Assembles the enabled items into a case.</summary>
    /// <returns>Null if the code does not fit into the code pages.</returns>
    public TestCase? Build()
    {
        ProgramLayout layout = new(Items);
        byte[] code = layout.Assemble(start.Rip);
        long offset = TestLayout.RegionOffset(start.Rip);
        if (offset + code.Length > (TestLayout.CodeLast + 1) * TestLayout.PageSize)
        {
            return null;
        }

        TestState state = new();
        state.CopyFrom(start);
        state.Write(start.Rip, code);
        return new TestCase
        {
            Name = name,
            Start = state,
            CodeLength = code.Length,
            UndefinedFlags = layout.UndefinedAtEnd,
            FlagsLostOnFault = ArithmeticFlags,
            Tolerance = FaultTolerance.PageFaultFirst | FaultTolerance.OtherPageFault | FaultTolerance.AtBranchTarget,
        };
    }
}
