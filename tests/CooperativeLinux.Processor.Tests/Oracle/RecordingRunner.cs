namespace CooperativeLinux.Processor.Tests.Oracle;

/// <summary>Passes runs on to another runner and keeps their results in a file, for <see cref="RecordedRunner"/>.</summary>
internal sealed class RecordingRunner(IInstructionRunner inner, string path) : IInstructionRunner, IDisposable
{
    private readonly Lock _lock = new();
    private readonly HashSet<ulong> _known = [];
    private readonly TestState _start = new();
    private readonly BinaryWriter _writer = new(File.Create(path));

    /// <inheritdoc/>
    public void Run(TestState state)
    {
        lock (_lock)
        {
            _start.CopyFrom(state);
            inner.Run(state);
            ulong key = StateRecord.KeyOf(_start);
            if (_known.Add(key))
            {
                byte[] record = StateRecord.Encode(_start, state);
                _writer.Write(key);
                _writer.Write(record.Length);
                _writer.Write(record);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _writer.Dispose();
}
