using CooperativeLinux.Monitor.Hypercalls;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Events;

/// <summary>Where each vCPU's vcpu_info is: in shared_info at first, later where the guest registered it.</summary>
public sealed class VcpuInfoTable
{
    /// <summary>Most vCPUs of a domain.</summary>
    public const int MaxVcpus = 64;

    private readonly GuestMemory _memory;
    private readonly Location?[] _locations;
    private readonly Lock _gate = new();

    public VcpuInfoTable(GuestMemory memory, SharedInfoPage sharedInfo, int vcpuCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vcpuCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vcpuCount, MaxVcpus);
        _memory = memory;
        _locations = new Location?[vcpuCount];
        for (int vcpu = 0; vcpu < Math.Min(vcpuCount, SharedInfo.LegacySlots); vcpu++)
        {
            _locations[vcpu] = new Location(sharedInfo.LegacySlot(vcpu), IsRegistered: false);
        }
    }

    /// <summary>Raised after a vCPU's vcpu_info moved, on the thread that registered it.</summary>
    public event Action<int>? Moved;

    /// <summary>vCPUs of the domain.</summary>
    public int VcpuCount => _locations.Length;

    /// <summary>Whether the vCPU exists.</summary>
    public bool Exists(int vcpu) => (uint)vcpu < (uint)_locations.Length;

    /// <summary>The vCPU's vcpu_info; false if the vCPU does not exist or has none yet (those from 32 on, before they
    /// register one).</summary>
    public bool TryGet(int vcpu, out GuestReference<VcpuInfo> reference)
    {
        Location? location = Exists(vcpu) ? Volatile.Read(ref _locations[vcpu]) : null;
        reference = location is null ? default : location.Reference;
        return location is not null;
    }

    /// <summary>VCPUOP_register_vcpu_info: moves the vCPU's vcpu_info, keeping its content and its mask, and marks every
    /// selector pending so that nothing raised around the move is lost.</summary>
    /// <param name="vcpu">vCPU number.</param>
    /// <param name="mfn">Frame number of the page.</param>
    /// <param name="offset">Bytes into the page, a multiple of 8.</param>
    /// <returns>0, −ENOENT (no such vCPU), −ENXIO (crosses the page or unaligned), −EINVAL (no such frame), −EBUSY (done before).</returns>
    public int Register(int vcpu, ulong mfn, uint offset)
    {
        if (!Exists(vcpu))
        {
            return -XenError.ENOENT;
        }

        if (offset > GuestMemory.PageSize - VcpuInfo.TotalSize || offset % 8 != 0)
        {
            return -XenError.ENXIO;
        }

        if (mfn > ulong.MaxValue / GuestMemory.PageSize
            || !_memory.TryGetReference((mfn * GuestMemory.PageSize) + offset, out GuestReference<VcpuInfo> target))
        {
            return -XenError.EINVAL;
        }

        lock (_gate)
        {
            Location? old = _locations[vcpu];
            if (old is { IsRegistered: true })
            {
                return -XenError.EBUSY;
            }

            target.Value = old is null ? new VcpuInfo { UpcallMask = 1 } : old.Reference.Value;
            Volatile.Write(ref _locations[vcpu], new Location(target, IsRegistered: true));

            // A raise that still used the old place set its pending bit before it looked the place up, so a scan of
            // everything, asked for after the switch, finds it.
            Interlocked.MemoryBarrier();
            ref VcpuInfo info = ref target.Value;
            Interlocked.Exchange(ref info.PendingSelector, ulong.MaxValue);
            Interlocked.Exchange(ref info.UpcallPending, (byte)1);
        }

        Moved?.Invoke(vcpu);
        return 0;
    }

    private sealed record Location(GuestReference<VcpuInfo> Reference, bool IsRegistered);
}
