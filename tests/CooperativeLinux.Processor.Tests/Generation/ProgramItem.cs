using Iced.Intel;

namespace CooperativeLinux.Processor.Tests.Generation;

/// <summary>A few instructions of a random program that belong together. Items with the same group are removed together.</summary>
internal sealed class ProgramItem(int index)
{
    public int Index { get; } = index;

    public List<Instruction> Instructions { get; } = [];

    /// <summary>Index of the item that <see cref="Reference"/> names, -1 for none.</summary>
    public int Target { get; set; } = -1;

    /// <summary>Index in <see cref="Instructions"/> of the branch to, or address computation of, <see cref="Target"/>.</summary>
    public int Reference { get; set; } = -1;

    /// <summary>What items this one cannot be removed without; 0 for none.</summary>
    public int Group { get; set; }

    /// <summary>Ends the program or a function; never removed.</summary>
    public bool IsEnd { get; init; }

    public bool IsEnabled { get; set; } = true;
}
