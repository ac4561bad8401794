namespace CooperativeLinux.Devices.Console;

/// <summary>The last bytes of a console's output. Any thread.</summary>
public sealed class Scrollback
{
    private readonly byte[] _bytes;
    private readonly Lock _gate = new();
    private long _total;

    /// <param name="capacity">Bytes kept.</param>
    public Scrollback(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        _bytes = new byte[capacity];
    }

    /// <summary>Bytes added so far, kept or not.</summary>
    public long TotalBytes
    {
        get
        {
            lock (_gate)
            {
                return _total;
            }
        }
    }

    /// <summary>Adds output.</summary>
    public void Add(ReadOnlySpan<byte> output)
    {
        lock (_gate)
        {
            _total += output.Length;
            if (output.Length > _bytes.Length)
            {
                output = output[^_bytes.Length..];
            }

            int start = (int)((_total - output.Length) % _bytes.Length);
            int first = Math.Min(output.Length, _bytes.Length - start);
            output[..first].CopyTo(_bytes.AsSpan(start));
            output[first..].CopyTo(_bytes);
        }
    }

    /// <summary>What is kept, oldest first.</summary>
    public byte[] ToArray()
    {
        lock (_gate)
        {
            int length = (int)Math.Min(_total, _bytes.Length);
            int start = (int)((_total - length) % _bytes.Length);
            int first = Math.Min(length, _bytes.Length - start);
            return [.. _bytes.AsSpan(start, first), .. _bytes.AsSpan(0, length - first)];
        }
    }

    /// <summary>The last lines: a guest's last words.</summary>
    /// <param name="lines">Most lines.</param>
    public string LastLines(int lines)
    {
        ReadOnlySpan<byte> kept = ToArray();
        kept = kept.TrimEnd("\r\n"u8);
        int start = kept.Length;
        for (int i = 0; i < lines && start >= 0; i++)
        {
            start = kept[..start].LastIndexOf((byte)'\n');
        }

        return System.Text.Encoding.UTF8.GetString(kept[(start + 1)..]).Replace("\r", string.Empty, StringComparison.Ordinal);
    }
}
