using CooperativeLinux.Processor.Cache;

namespace CooperativeLinux.Processor.Execution;

// Finding the user code that runs often. Now and then a poll is followed by a few samples: each block comes to managed code when it
// begins. A block that is met again and again is made anew, with entries of the inline TLB for its accesses.
public sealed unsafe partial class Vcpu
{
    private const int SamplesInBurst = 32;

    /// <summary>Least time between bursts, in milliseconds.</summary>
    private const int BurstInterval = 3;

    /// <summary>Bursts whose samples are counted together.</summary>
    private const int BurstsInPeriod = 64;

    /// <summary>Samples of a period, of 2048, that make a block hot.</summary>
    private const int HotSamples = 12;

    /// <summary>Misses of an entry in a millisecond above which the site does better with a lookup.</summary>
    private const int ScatteredMisses = 500;

    /// <summary>Selections of contexts between two bursts above which entries would be lost too soon.</summary>
    private const int MaxSelections = 8;

    /// <summary>Bursts after which all begins anew, if there were too few entries.</summary>
    private const int BurstsUntilReset = 2000;

    private readonly HashSet<BlockKey> _hot = [];
    private int _samples;
    private long _bursts;
    private long _lastBurst;
    private long _lastReset;
    private long _lastSelections;

    private bool IsHot(in BlockKey key) =>
        key.User && key.Variant == BlockVariant.Normal && (_options.AlwaysHot || _hot.Contains(key));

    // At a poll. The mode is that of the code the poll interrupted.
    private void BeginSampling()
    {
        long now = Environment.TickCount64;
        if (State->UserMode == 0 || now - _lastBurst < BurstInterval || _options.NeverSample)
        {
            return;
        }

        long elapsed = Math.Min(now - _lastBurst, 100);
        bool switches = _mmu.Selections - _lastSelections > MaxSelections;
        _lastBurst = now;
        _lastSelections = _mmu.Selections;
        foreach (Block block in _inline.TakeScattered((ulong)(ScatteredMisses * elapsed)))
        {
            Statistics.ScatteredBlocks++;
            _cache.Drop(block);
        }

        if (switches)
        {
            return;
        }

        _bursts++;
        if (!_inline.IsExhausted)
        {
            _samples = SamplesInBurst;
        }
        else if (_bursts - _lastReset > BurstsUntilReset)
        {
            ForgetHotBlocks();
        }
    }

    private void ForgetHotBlocks()
    {
        _lastReset = _bursts;
        foreach (Block block in _cache.Of(user: true).Blocks.FindAll(block => block.InlineEntries != null))
        {
            _cache.Drop(block);
        }

        _hot.Clear();
        _inline.Reset();
    }

    // Whether guest code came here for a sample only.
    private bool IsSampling()
    {
        if (_samples == 0 || Volatile.Read(ref _engine->PollRequested) != 0)
        {
            return false;
        }

        _samples--;
        ClearPoll();
        if (Volatile.Read(ref _engine->PollRequested) != 0)
        {
            // Asked for meanwhile.
            RequestPoll();
        }

        return true;
    }

    // The block that is entered now does not look, the next one does.
    private void StopAtNextBlock()
    {
        Volatile.Write(ref _engine->PollClear, 0u);
        Volatile.Write(ref _engine->Limit, ulong.MaxValue);
    }

    // Whether the block became hot, and was dropped.
    private bool CountSample(Block block)
    {
        Statistics.Samples++;
        long period = _bursts / BurstsInPeriod;
        if (block.SamplePeriod != period)
        {
            block.SamplePeriod = period;
            block.Samples = 0;
        }

        if (++block.Samples < HotSamples || block.Key.Variant != BlockVariant.Normal || _inline.IsExhausted || !_hot.Add(block.Key))
        {
            return false;
        }

        // Other processes go on copying the block as it was.
        _ = _cache.FindTemplate(block.Key);
        Statistics.HotBlocks++;
        _cache.Drop(block);
        _resetPairs = true;
        return true;
    }
}
