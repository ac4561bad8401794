using System.Text;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// The last lines a guest wrote, from whichever console they came, and the recognition of a kernel panic in
/// them. Safe for use on several threads.
/// </summary>
public sealed class ConsoleTail
{
    private const int MaxLineLength = 1024;
    private const string PanicMark = "Kernel panic - not syncing";

    private readonly Lock _lock = new();
    private readonly Queue<string> _lines = new();
    private readonly byte[] _line = new byte[MaxLineLength];
    private readonly int _capacity;
    private int _length;
    private string? _panic;

    /// <param name="capacity">Number of lines kept.</param>
    public ConsoleTail(int capacity = 60)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(capacity);
        _capacity = capacity;
    }

    /// <summary>The first panic message seen, from the words "Kernel panic" to the end of its line.</summary>
    public string? Panic
    {
        get
        {
            lock (_lock)
            {
                return _panic;
            }
        }
    }

    /// <summary>Takes console output in pieces of any size.</summary>
    public void Append(ReadOnlySpan<byte> output)
    {
        lock (_lock)
        {
            foreach (byte value in output)
            {
                if (value == (byte)'\n')
                {
                    EndLine();
                }
                else if (value != (byte)'\r')
                {
                    if (_length == MaxLineLength)
                    {
                        EndLine();
                    }

                    _line[_length++] = value;
                }
            }
        }
    }

    /// <summary>The lines kept, oldest first, with an unfinished last one.</summary>
    public IReadOnlyList<string> Lines()
    {
        lock (_lock)
        {
            List<string> lines = [.. _lines];
            if (_length != 0)
            {
                lines.Add(Encoding.UTF8.GetString(_line, 0, _length));
            }

            return lines;
        }
    }

    private void EndLine()
    {
        string line = Encoding.UTF8.GetString(_line, 0, _length);
        _length = 0;
        int mark = _panic is null ? line.IndexOf(PanicMark, StringComparison.Ordinal) : -1;
        if (mark >= 0)
        {
            _panic = line[mark..];
        }

        _lines.Enqueue(line);
        if (_lines.Count > _capacity)
        {
            _lines.Dequeue();
        }
    }
}
