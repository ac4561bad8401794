using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>Which frames of RAM the guest has given back (ballooned out). Any thread.</summary>
internal sealed class BalloonAccount(GuestMemory memory)
{
    private readonly Lock _lock = new();
    private ulong[]? _absent;
    private ulong _absentCount;

    /// <summary>Frames the guest has.</summary>
    public ulong PresentFrames
    {
        get
        {
            lock (_lock)
            {
                return memory.FrameCount - _absentCount;
            }
        }
    }

    /// <summary>Takes a frame out. What it held is lost with <see cref="GuestMemory.Discard"/>, which the caller does for many at once.
    /// False if it is no frame of RAM.</summary>
    public bool TryRelease(ulong frame)
    {
        if (frame >= memory.FrameCount)
        {
            return false;
        }

        lock (_lock)
        {
            _absent ??= new ulong[(memory.FrameCount + 63) / 64];
            ref ulong word = ref _absent[frame / 64];
            ulong bit = 1UL << (int)(frame % 64);
            if ((word & bit) == 0)
            {
                word |= bit;
                _absentCount++;
            }
        }

        return true;
    }

    /// <summary>Gives a frame to the guest again. False if it is no frame of RAM.</summary>
    public bool TryPopulate(ulong frame)
    {
        if (frame >= memory.FrameCount)
        {
            return false;
        }

        lock (_lock)
        {
            ulong bit = 1UL << (int)(frame % 64);
            if (_absent is not null && (_absent[frame / 64] & bit) != 0)
            {
                _absent[frame / 64] &= ~bit;
                _absentCount--;
            }
        }

        return true;
    }
}
