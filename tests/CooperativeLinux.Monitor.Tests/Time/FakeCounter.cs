using CooperativeLinux.Monitor.Time;

namespace CooperativeLinux.Monitor.Tests.Time;

/// <summary>A counter that moves when told.</summary>
internal sealed class FakeCounter(ulong kilohertz, ulong start = 1_000_000_000_000) : ITimestampCounter
{
    private ulong _ticks = start;

    public ulong Kilohertz => kilohertz;

    public ulong Read() => Volatile.Read(ref _ticks);

    public void Advance(ulong ticks) => Interlocked.Add(ref _ticks, ticks);
}
