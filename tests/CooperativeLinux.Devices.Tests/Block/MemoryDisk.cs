using CooperativeLinux.Devices.Block.Storage;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Tests.Block;

/// <summary>A disk in memory that tests can hold up and let fail.</summary>
internal sealed class MemoryDisk(int length = 1 << 20) : Disk
{
    private readonly Lock _gate = new();
    private int _running;

    public byte[] Content { get; } = new byte[length];

    /// <summary>What was done, in the order of completion: "write 0", "flush" ...</summary>
    public List<string> Done { get; } = [];

    /// <summary>Called first by each read and write, outside the lock.</summary>
    public Action<string> OnStart { get; set; } = _ => { };

    /// <summary>Most transfers that ran at the same time.</summary>
    public int MostRunning { get; private set; }

    public override long Length => Content.Length;

    public override bool IsReadOnly => IsLocked;

    public bool IsLocked { get; set; }

    public override string Description => "memory";

    /// <summary>Says whether a read at an offset takes no waiting.</summary>
    public Func<long, bool> IsCached { get; set; } = _ => false;

    /// <summary>Reads that took no waiting, and the thread that asked for them last.</summary>
    public (int Count, int Thread) CachedReads { get; private set; }

    /// <summary>Whether writes take no waiting.</summary>
    public bool AreWritesQuick { get; set; }

    /// <summary>Threads that wrote, in order.</summary>
    public List<int> Writers { get; } = [];

    public override bool IsWriteQuick(long offset, long length) => AreWritesQuick;

    public override bool TryReadCached(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        if (!IsCached(offset))
        {
            return false;
        }

        foreach (IoBuffer buffer in buffers)
        {
            Content.AsSpan((int)offset, buffer.Length).CopyTo(buffer.Span);
            offset += buffer.Length;
        }

        CachedReads = (CachedReads.Count + 1, Environment.CurrentManagedThreadId);
        return true;
    }

    public override void Read(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        Start($"read {offset}");
        foreach (IoBuffer buffer in buffers)
        {
            Content.AsSpan((int)offset, buffer.Length).CopyTo(buffer.Span);
            offset += buffer.Length;
        }

        End("read");
    }

    public override void Write(ReadOnlySpan<IoBuffer> buffers, long offset)
    {
        string what = $"write {offset}";
        Start(what);
        lock (_gate)
        {
            Writers.Add(Environment.CurrentManagedThreadId);
        }

        foreach (IoBuffer buffer in buffers)
        {
            buffer.Span.CopyTo(Content.AsSpan((int)offset, buffer.Length));
            offset += buffer.Length;
        }

        End(what);
    }

    public override void Flush()
    {
        Start("flush");
        End("flush");
    }

    public override void Discard(long offset, long length)
    {
        Start("discard");
        Content.AsSpan((int)offset, (int)length).Clear();
        End($"discard {offset} {length}");
    }

    public override void Dispose()
    {
    }

    private void Start(string what)
    {
        lock (_gate)
        {
            MostRunning = Math.Max(MostRunning, ++_running);
        }

        try
        {
            OnStart(what);
        }
        catch
        {
            lock (_gate)
            {
                _running--;
            }

            throw;
        }
    }

    private void End(string what)
    {
        lock (_gate)
        {
            _running--;
            Done.Add(what);
        }
    }
}
