using System.Diagnostics;

namespace CooperativeLinux.Devices.Block;

/// <summary>
/// Decides who moves requests of a kind, by what was faster lately. With one request at a time it is the vCPU, since waking a thread and then
/// the vCPU again takes as long as copying; with several in flight it is a thread, while the guest prepares the next, if the host has
/// processors to spare. How many are in flight cannot be seen while a vCPU does each at once, so both are tried. Under the queue's lock.
/// </summary>
internal sealed class ThreadTrial
{
    // A turn: long enough that a change of mover, and what the host does in between, do not decide.
    private const int RequestsBefore = 4, RequestsInTurn = 8;
    private const int FewestTurnsBetweenTrials = 8, MostTurnsBetweenTrials = 16;

    /// <summary>Threads must be so much faster, since they cost more processor time.</summary>
    private const double ThreadsAdvantage = 0.9;

    /// <summary>How much slower one turn can make a mover seem: what else the host did in it is not the mover's time.</summary>
    private const double GrowthInTurn = 1.1;

    private static readonly long s_turn = Stopwatch.Frequency / 1000;

    // Longer without an answer: the guest had something else to do, and the turn says nothing.
    private static readonly long s_pause = Stopwatch.Frequency / 100;

    private double _vcpuTime = double.MaxValue;
    private double _threadTime = double.MaxValue;
    private bool _isThreadBetter;
    private long _start;
    private long _last;
    private long _bytes;
    private int _requests;
    private int _turnsToTrial = 1;
    private int _turnsBetweenTrials = FewestTurnsBetweenTrials;

    /// <summary>Whether the next one is for a thread.</summary>
    public bool IsForThread { get; private set; }

    /// <summary>One was done.</summary>
    /// <param name="length">Bytes.</param>
    /// <param name="now">A <see cref="Stopwatch"/> timestamp.</param>
    public void OnDone(long length, long now)
    {
        if (now - _last > s_pause)
        {
            _requests = 0;
        }

        _last = now;
        _requests++;
        if (_requests <= RequestsBefore)
        {
            _start = now;
            _bytes = 0;
            return;
        }

        _bytes += length;
        if (_requests >= RequestsBefore + RequestsInTurn && now - _start >= s_turn)
        {
            EndTurn((double)(now - _start) / _bytes);
            _requests = 0;
        }
    }

    private void EndTurn(double timePerByte)
    {
        bool wasTrial = IsForThread != _isThreadBetter;
        ref double time = ref IsForThread ? ref _threadTime : ref _vcpuTime;
        time = Math.Min(timePerByte, time * GrowthInTurn);
        bool isThreadBetter = _threadTime < _vcpuTime * ThreadsAdvantage;
        if (isThreadBetter != _isThreadBetter)
        {
            _turnsBetweenTrials = FewestTurnsBetweenTrials;
        }
        else if (wasTrial)
        {
            _turnsBetweenTrials = Math.Min(2 * _turnsBetweenTrials, MostTurnsBetweenTrials);
        }

        _isThreadBetter = isThreadBetter;
        _turnsToTrial = wasTrial ? _turnsBetweenTrials : _turnsToTrial - 1;
        IsForThread = isThreadBetter != (_turnsToTrial == 0);
    }
}
