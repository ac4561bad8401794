using System.Diagnostics;

namespace CooperativeLinux.Devices.Block;

/// <summary>
/// Decides who moves large requests, by what was faster lately. With one request at a time it is the vCPU, since waking a thread and then
/// the vCPU again takes as long as copying; with several in flight it is a thread, while the guest prepares the next, if the host has
/// processors to spare. How many are in flight cannot be seen while a vCPU does each at once, so both are tried. Under the queue's lock.
/// </summary>
internal sealed class LargeTransfers
{
    private const int RequestsInTurn = 16;
    private const int TurnsBetweenTrials = 16;

    /// <summary>Threads must be so much faster, since they cost more processor time.</summary>
    private const double ThreadsAdvantage = 0.9;

    // Longer without an answer: the guest had something else to do, and the turn says nothing.
    private static readonly long s_pause = Stopwatch.Frequency / 100;

    private double _vcpuTime = double.MaxValue;
    private double _threadTime = double.MaxValue;
    private long _start;
    private long _last;
    private long _bytes;
    private int _requests;
    private int _turns;

    /// <summary>Whether the next one is for a thread.</summary>
    public bool IsForThread { get; private set; }

    /// <summary>One was done.</summary>
    /// <param name="length">Bytes.</param>
    /// <param name="now">A <see cref="Stopwatch"/> timestamp.</param>
    public void OnDone(long length, long now)
    {
        if (_requests == 0 || now - _last > s_pause)
        {
            _start = now;
            _bytes = 0;
            _requests = 1;
        }
        else
        {
            _bytes += length;
            _requests++;
        }

        _last = now;
        if (_requests > RequestsInTurn)
        {
            EndTurn((double)(now - _start) / _bytes);
        }
    }

    private void EndTurn(double timePerByte)
    {
        (IsForThread ? ref _threadTime : ref _vcpuTime) = timePerByte;
        bool isBetter = _threadTime < _vcpuTime * ThreadsAdvantage;
        _turns++;
        IsForThread = isBetter != (_turns % TurnsBetweenTrials == 1);
        _requests = 0;
    }
}
