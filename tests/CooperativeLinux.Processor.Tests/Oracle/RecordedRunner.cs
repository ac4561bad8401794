namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>
/// Gives the results a real processor had when they were recorded: the oracle of hosts that cannot run sequences
/// natively. A start state that was not recorded comes back with <see cref="OutcomeKind.NotRun"/>.
/// </summary>
internal sealed class RecordedRunner : IInstructionRunner
{
    private readonly Dictionary<ulong, byte[]> _records = [];

    /// <param name="path">A file <see cref="RecordingRunner"/> wrote on a processor of the same model.</param>
    public RecordedRunner(string path)
    {
        using BinaryReader reader = new(File.OpenRead(path));
        while (reader.BaseStream.Position < reader.BaseStream.Length)
        {
            ulong key = reader.ReadUInt64();
            _records[key] = reader.ReadBytes(reader.ReadInt32());
        }
    }

    /// <inheritdoc/>
    public void Run(TestState state)
    {
        if (_records.TryGetValue(StateRecord.KeyOf(state), out byte[]? record))
        {
            StateRecord.Apply(record, state);
        }
        else
        {
            state.Outcome = new Outcome(OutcomeKind.NotRun);
        }
    }
}
