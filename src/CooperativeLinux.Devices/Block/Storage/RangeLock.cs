namespace CooperativeLinux.Devices.Block.Storage;

using Monitor = System.Threading.Monitor;

/// <summary>Lets one thread at a time work on overlapping ranges, and any number on separate ones.</summary>
internal sealed class RangeLock
{
    private readonly object _gate = new();
    private readonly List<(long First, long End)> _held = [];

    /// <summary>Waits until no other thread holds a part of the range, and takes it.</summary>
    public void Enter(long first, long end)
    {
        lock (_gate)
        {
            while (_held.Exists(held => held.First < end && first < held.End))
            {
                Monitor.Wait(_gate);
            }

            _held.Add((first, end));
        }
    }

    /// <summary>Gives a range back.</summary>
    public void Exit(long first, long end)
    {
        lock (_gate)
        {
            _held.Remove((first, end));
            Monitor.PulseAll(_gate);
        }
    }
}
