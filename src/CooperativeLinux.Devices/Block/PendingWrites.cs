using System.Diagnostics;
using System.Runtime.InteropServices;
using CooperativeLinux.Host.Disks;

namespace CooperativeLinux.Devices.Block;

/// <summary>
/// Writes that wait for the thread that writes. There is one at a time: hosts let only one thread write to a file, and others would wait for
/// it, or spin. Writes that follow each other on the disk are done together. Under the queue's lock, except the batch, which is the writer's.
/// </summary>
internal sealed class PendingWrites
{
    private const int MaxBuffers = 1024;
    private const int MaxLength = 1 << 20;

    private static readonly long s_patience = Stopwatch.Frequency / 20_000;

    private readonly Queue<BlockRequest> _waiting = [];
    private readonly List<BlockRequest> _batch = [];
    private readonly IoBuffer[] _buffers = new IoBuffer[MaxBuffers];
    private int _bufferCount;

    // Of the queue, for who looks without the lock.
    private int _waitingCount;

    // A thread that is writing looks for more afterwards.
    private bool _hasWriter;

    /// <summary>What the writer has to do, in the order of the disk; empty if there is none.</summary>
    public ReadOnlySpan<BlockRequest> Batch => CollectionsMarshal.AsSpan(_batch);

    /// <summary>The guest memory of the whole batch, which begins on the disk where its first request does.</summary>
    public ReadOnlySpan<IoBuffer> Buffers => _buffers.AsSpan(0, _bufferCount);

    /// <summary>Adds a write that was parsed and has no defect.</summary>
    /// <returns>Whether a thread has to be found for it.</returns>
    public bool Add(BlockRequest request)
    {
        _waiting.Enqueue(request);
        _waitingCount = _waiting.Count;
        return !_hasWriter && _waiting.Count == 1;
    }

    /// <summary>Makes the caller the writer, with a batch to do, if there is none and something waits.</summary>
    public bool TryBegin()
    {
        if (_hasWriter || _waiting.Count == 0)
        {
            return false;
        }

        _hasWriter = true;
        TakeBatch();
        return true;
    }

    /// <summary>The writer's batch is done; gives it the next.</summary>
    /// <param name="isLast">Whether the caller is the writer no more if there is none.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryContinue(bool isLast)
    {
        _batch.Clear();
        if (_waiting.Count > 0)
        {
            TakeBatch();
            return true;
        }

        _hasWriter = !isLast;
        return false;
    }

    /// <summary>The writer waits a moment for the next write: waking a thread for it would take the vCPU longer. Outside the lock.</summary>
    public void WaitForMore()
    {
        const int Spins = 20;
        long end = Stopwatch.GetTimestamp() + s_patience;
        while (Volatile.Read(ref _waitingCount) == 0 && Stopwatch.GetTimestamp() < end)
        {
            Thread.SpinWait(Spins);
        }
    }

    private void TakeBatch()
    {
        _bufferCount = 0;
        long start = _waiting.Peek().Offset;
        long end = start;
        while (_waiting.TryPeek(out BlockRequest? next)
            && (_batch.Count == 0 || (next.Offset == end && _bufferCount + next.Buffers.Length <= MaxBuffers && end + next.Length - start <= MaxLength)))
        {
            next.Buffers.CopyTo(_buffers.AsSpan(_bufferCount));
            _bufferCount += next.Buffers.Length;
            end += next.Length;
            _batch.Add(_waiting.Dequeue());
        }

        _waitingCount = _waiting.Count;
    }
}
