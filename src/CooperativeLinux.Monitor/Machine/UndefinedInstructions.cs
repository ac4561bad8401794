using CooperativeLinux.Processor.Execution;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>Tells of instructions that a domain used and that its processors do not offer, each once. Any thread.</summary>
internal sealed partial class UndefinedInstructions(ILogger logger)
{
    private readonly HashSet<string> _seen = [];

    /// <summary>Notes one of these.</summary>
    /// <param name="name">Its mnemonic, or <see cref="Vcpu.NoInstruction"/>.</param>
    /// <param name="address">Where it is.</param>
    /// <param name="isUserMode">Whether a program used it, not the kernel.</param>
    public void Note(string name, ulong address, bool isUserMode)
    {
        lock (_seen)
        {
            if (!_seen.Add(name))
            {
                return;
            }
        }

        string who = isUserMode ? "a program in the guest" : "the guest's kernel";
        if (name == Vcpu.NoInstruction)
        {
            LogNone(logger, who, address);
        }
        else
        {
            LogUndefined(logger, who, name, address);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Who} used the instruction {Name}, which this processor does not offer (at 0x{Address:x})")]
    private static partial void LogUndefined(ILogger logger, string who, string name, ulong address);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Who} ran into bytes that are no instruction (at 0x{Address:x})")]
    private static partial void LogNone(ILogger logger, string who, ulong address);
}
