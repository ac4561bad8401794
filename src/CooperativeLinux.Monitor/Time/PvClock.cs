using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Time;

/// <summary>Writes a secondary copy of the time values where the guest asked for it, in one piece or in ascending order
/// of addresses. Returns whether that was possible.</summary>
public delegate bool TimeAreaWriter(in VcpuTimeInfo info);

/// <summary>
/// The domain's clock: system time in nanoseconds since start, derived from the counter that the guest itself reads, and the
/// values from which the guest computes the same. They are written once and again only when the clock is set anew.
/// </summary>
public sealed class PvClock
{
    private const byte TscStable = 1;

    private readonly SharedInfoPage _shared;
    private readonly VcpuInfoTable _vcpus;
    private readonly ITimestampCounter _counter;
    private readonly TimeProvider _wallClock;
    private readonly Lock _gate = new();
    private readonly TimeAreaWriter?[] _areas;
    private Origin _origin;

    /// <summary>Starts the clock at system time 0 and writes all values.</summary>
    /// <param name="sharedInfo">For the wall clock.</param>
    /// <param name="vcpus">For each vCPU's time values; the clock follows when one moves.</param>
    /// <param name="counter">The counter the guest reads.</param>
    /// <param name="wallClock">Time of day; the system's if null.</param>
    public PvClock(SharedInfoPage sharedInfo, VcpuInfoTable vcpus, ITimestampCounter counter, TimeProvider? wallClock = null)
    {
        _shared = sharedInfo;
        _vcpus = vcpus;
        _counter = counter;
        _wallClock = wallClock ?? TimeProvider.System;
        _areas = new TimeAreaWriter?[vcpus.VcpuCount];
        Scale = TscScale.FromKilohertz(counter.Kilohertz);
        _origin = new Origin(counter.Read(), 0);
        vcpus.Moved += WriteVcpu;
        WriteAll();
        SetWallClock();
    }

    /// <summary>Scale of the counter.</summary>
    public TscScale Scale { get; }

    /// <summary>Nanoseconds since the domain started. Never goes back, except by <see cref="Rebase"/>.</summary>
    public long NowNs
    {
        get
        {
            Origin origin = Volatile.Read(ref _origin);
            ulong ticks = _counter.Read();
            return origin.SystemTime + (ticks > origin.Ticks ? (long)Scale.ToNanoseconds(ticks - origin.Ticks) : 0);
        }
    }

    /// <summary>Sets system time, for a domain that goes on from a saved state, and writes all values. No vCPU may run.</summary>
    public void Rebase(long systemTimeNs)
    {
        lock (_gate)
        {
            Volatile.Write(ref _origin, new Origin(_counter.Read(), systemTimeNs));
        }

        WriteAll();
        SetWallClock();
    }

    /// <summary>Goes on from a system time after the counter was set back, as some hosts do when they slept. vCPUs may run: they
    /// read the values as a whole.</summary>
    public void ContinueFrom(long systemTimeNs)
    {
        lock (_gate)
        {
            Volatile.Write(ref _origin, new Origin(_counter.Read(), systemTimeNs));
        }

        WriteAll();
    }

    /// <summary>Writes the wall clock from the host's time of day. The guest reads it at boot and after a resume.</summary>
    public void SetWallClock()
    {
        long unixNs = checked((_wallClock.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * 100) - NowNs;
        lock (_gate)
        {
            ref SharedInfo shared = ref _shared.Value;
            uint version = shared.WallClockVersion | 1;
            Volatile.Write(ref shared.WallClockVersion, version);
            Volatile.Write(ref shared.WallClockSeconds, (uint)(unixNs / 1_000_000_000));
            Volatile.Write(ref shared.WallClockSecondsHigh, (uint)((unixNs / 1_000_000_000) >> 32));
            Volatile.Write(ref shared.WallClockNanoseconds, (uint)(unixNs % 1_000_000_000));
            Volatile.Write(ref shared.WallClockVersion, version + 1);
        }
    }

    /// <summary>VCPUOP_register_vcpu_time_memory_area: keeps a secondary copy up to date, starting now.</summary>
    /// <param name="vcpu">Whose.</param>
    /// <param name="writer">Writes the copy; null ends it.</param>
    /// <returns>False if there is no such vCPU or the copy could not be written; then there is none.</returns>
    public bool SetTimeArea(int vcpu, TimeAreaWriter? writer)
    {
        if (!_vcpus.Exists(vcpu))
        {
            return false;
        }

        lock (_gate)
        {
            _areas[vcpu] = writer;
            return writer is null || WriteArea(vcpu, writer);
        }
    }

    private void WriteAll()
    {
        for (int vcpu = 0; vcpu < _vcpus.VcpuCount; vcpu++)
        {
            WriteVcpu(vcpu);
        }
    }

    private void WriteVcpu(int vcpu)
    {
        lock (_gate)
        {
            if (_vcpus.TryGet(vcpu, out GuestReference<VcpuInfo> reference))
            {
                // Volatile writes keep their order: odd version, values, even version.
                ref VcpuTimeInfo place = ref reference.Value.Time;
                VcpuTimeInfo values = Values(place.Version | 1);
                Volatile.Write(ref place.Version, values.Version);
                Volatile.Write(ref place.TscTimestamp, values.TscTimestamp);
                Volatile.Write(ref place.SystemTime, values.SystemTime);
                Volatile.Write(ref place.TscMultiplier, values.TscMultiplier);
                Volatile.Write(ref place.TscShift, values.TscShift);
                Volatile.Write(ref place.Flags, values.Flags);
                Volatile.Write(ref place.Version, values.Version + 1);
            }

            if (_areas[vcpu] is { } writer)
            {
                WriteArea(vcpu, writer);
            }
        }
    }

    private bool WriteArea(int vcpu, TimeAreaWriter writer)
    {
        // Two writes: with the odd version while the values change, then the same values with the even one.
        VcpuTimeInfo values = Values(AreaVersion(vcpu));
        bool isWritten = writer(values);
        values.Version++;
        isWritten = isWritten && writer(values);
        if (!isWritten)
        {
            _areas[vcpu] = null;
        }

        return isWritten;
    }

    // The copy's version follows the one in vcpu_info, so that it changes with every update.
    private uint AreaVersion(int vcpu) =>
        _vcpus.TryGet(vcpu, out GuestReference<VcpuInfo> reference) ? (reference.Value.Time.Version & ~1u) - 1 : 1;

    private VcpuTimeInfo Values(uint version) => new()
    {
        Version = version,
        TscTimestamp = _origin.Ticks,
        SystemTime = (ulong)_origin.SystemTime,
        TscMultiplier = Scale.Multiplier,
        TscShift = Scale.Shift,
        Flags = TscStable,
    };

    private sealed record Origin(ulong Ticks, long SystemTime);
}
