using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Tests.Block.Storage;

/// <summary>
/// A file on a host that loses power: what was not flushed is there or not, sector by sector, in any mixture. <see cref="Crash"/> makes the
/// file as it is found afterwards. All transfers are whole sectors.
/// </summary>
internal sealed class UnreliableFile(string path = "file") : DiskFile(path, isWritable: true)
{
    private const int Sector = 512;

    private readonly Lock _gate = new();
    private readonly List<(long Sector, byte[]? Content)> _pending = [];
    private Dictionary<long, byte[]> _durable = [];
    private Dictionary<long, byte[]> _current = [];
    private long _durableLength;
    private long _length;

    /// <summary>Operations that still succeed; then the power is off.</summary>
    public int OperationsLeft { get; set; } = int.MaxValue;

    public bool IsPoweredOff => OperationsLeft <= 0;

    public override bool IsDevice => false;

    public override long Length => _length;

    public override long AllocatedLength => _current.Count * (long)Sector;

    public override DateTime LastWriteTimeUtc => DateTime.UnixEpoch;

    public UnreliableFile Crash(Random random)
    {
        UnreliableFile after = new(Path) { _durable = new(_durable), _length = random.Next(2) == 0 ? _length : _durableLength };
        int likelihood = random.Next(5);
        foreach ((long sector, byte[]? content) in _pending.Where(_ => random.Next(4) < likelihood))
        {
            Put(after._durable, sector, content);
        }

        after._current = new(after._durable);
        after._durableLength = after._length;
        return after;
    }

    public override long Read(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        long inFile = Math.Clamp(_length - offset, 0, IoBuffer.TotalLength(buffers));
        lock (_gate)
        {
            foreach (IoBuffer buffer in buffers)
            {
                for (int done = 0; done < buffer.Length; done += Sector, offset += Sector)
                {
                    Span<byte> target = buffer.Span.Slice(done, Sector);
                    if (_current.TryGetValue(offset / Sector, out byte[]? content))
                    {
                        content.CopyTo(target);
                    }
                    else
                    {
                        target.Clear();
                    }
                }
            }

            return inFile;
        }
    }

    public override void Write(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        lock (_gate)
        {
            Operate();
            foreach (IoBuffer buffer in buffers)
            {
                for (int done = 0; done < buffer.Length; done += Sector, offset += Sector)
                {
                    Change(offset / Sector, buffer.Span.Slice(done, Sector).ToArray());
                }
            }

            _length = Math.Max(_length, offset);
        }
    }

    public override void Flush()
    {
        lock (_gate)
        {
            Operate();
            _durable = new(_current);
            _durableLength = _length;
            _pending.Clear();
        }
    }

    public override void PunchHole(long offset, long length)
    {
        lock (_gate)
        {
            Operate();
            for (long sector = offset / Sector; sector < (offset + length) / Sector; sector++)
            {
                Change(sector, null);
            }
        }
    }

    public override void SetLength(long length)
    {
        lock (_gate)
        {
            Operate();
            foreach (long sector in _current.Keys.Where(sector => sector >= length / Sector).ToList())
            {
                Change(sector, null);
            }

            _length = length;
        }
    }

    public override void Dispose()
    {
    }

    private static void Put(Dictionary<long, byte[]> sectors, long sector, byte[]? content)
    {
        if (content is null)
        {
            sectors.Remove(sector);
        }
        else
        {
            sectors[sector] = content;
        }
    }

    private void Change(long sector, byte[]? content)
    {
        _pending.Add((sector, content));
        Put(_current, sector, content);
    }

    private void Operate()
    {
        if (OperationsLeft <= 0)
        {
            throw new IOException("the power is off");
        }

        OperationsLeft--;
    }
}
