using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Memory;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>memory_op: memory map, machine-to-physical table, ballooning (pv-interface 3.5).</summary>
internal sealed class MemoryHypercalls(DomainServices domain)
{
    private const uint DecreaseReservation = 1, PopulatePhysmap = 6, MemoryMap = 9, MachineToPhysicalMapping = 12;

    /// <summary>The command may carry a restart position above these bits.</summary>
    private const uint CommandMask = 0x3f;

    private const uint E820Ram = 1;

    /// <summary>Extents handled in one call, and largest order: 4 MiB.</summary>
    private const ulong MaxExtents = 1 << 20;

    private const uint MaxOrder = 10;

    public long Execute(VcpuContext vcpu, in HypercallArguments arguments) => ((uint)arguments.A & CommandMask) switch
    {
        MachineToPhysicalMapping => DescribeMachineToPhysical(vcpu, arguments.B),
        MemoryMap => DescribeMemory(vcpu, arguments.B),
        DecreaseReservation => ChangeReservation(vcpu, arguments.B, isIncrease: false),
        PopulatePhysmap => ChangeReservation(vcpu, arguments.B, isIncrease: true),
        _ => -XenError.ENOSYS,
    };

    private static long DescribeMachineToPhysical(VcpuContext vcpu, ulong address)
    {
        MachineToPhysicalDescription description = new()
        {
            Start = MachineToPhysical.VirtualBase,
            End = MachineToPhysical.VirtualBase + ((MachineToPhysical.MaxFrame + 1) * 8),
            MaxFrame = MachineToPhysical.MaxFrame,
        };
        return vcpu.Processor.TryWrite(address, description) ? 0 : -XenError.EFAULT;
    }

    /// <summary>Exactly one range of RAM: more would make the kernel remap parts of its memory.</summary>
    private long DescribeMemory(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out MapRequest request))
        {
            return -XenError.EFAULT;
        }

        if (request.Entries < 1)
        {
            return -XenError.EINVAL;
        }

        E820Entry entry = new() { Address = 0, Size = domain.Memory.Size, Type = E820Ram };
        request.Entries = 1;
        return vcpu.Processor.TryWrite(request.Buffer, entry) && vcpu.Processor.TryWrite(address, request) ? 0 : -XenError.EFAULT;
    }

    /// <summary>Takes frames out of the guest's memory or puts them back; the count of extents done.</summary>
    private long ChangeReservation(VcpuContext vcpu, ulong address, bool isIncrease)
    {
        if (!vcpu.Processor.TryRead(address, out Reservation reservation))
        {
            return -XenError.EFAULT;
        }

        if (!domain.IsSelf(reservation.Domain) || reservation.Order > MaxOrder || reservation.Extents > MaxExtents)
        {
            return 0;
        }

        ulong size = 1UL << (int)reservation.Order;
        ulong done = 0;
        FrameRange run = default;
        for (; done < reservation.Extents && !vcpu.Life.HasEnded; done++)
        {
            if (!vcpu.Processor.TryRead(reservation.Start + (done * 8), out ulong first)
                || first % size != 0
                || first >= domain.Memory.FrameCount
                || size > domain.Memory.FrameCount - first)
            {
                break;
            }

            for (ulong frame = first; frame < first + size; frame++)
            {
                _ = isIncrease ? domain.Balloon.TryPopulate(frame) : domain.Balloon.TryRelease(frame);
            }

            if (!isIncrease)
            {
                run = Join(run, new FrameRange(first, size));
            }
        }

        Discard(run);
        return (long)done;
    }

    /// <summary>Discards frames in runs, of which a guest's frames mostly consist, upwards or downwards.</summary>
    private FrameRange Join(FrameRange run, FrameRange more)
    {
        if (run.Count == 0)
        {
            return more;
        }

        if (run.End == more.First)
        {
            return new FrameRange(run.First, run.Count + more.Count);
        }

        if (more.End == run.First)
        {
            return new FrameRange(more.First, run.Count + more.Count);
        }

        Discard(run);
        return more;
    }

    private void Discard(FrameRange run)
    {
        if (run.Count != 0)
        {
            domain.Memory.Discard(run.First, run.Count);
        }
    }

    [StructLayout(LayoutKind.Explicit, Size = 24)]
    private struct MachineToPhysicalDescription
    {
        [FieldOffset(0)] public ulong Start;
        [FieldOffset(8)] public ulong End;
        [FieldOffset(16)] public ulong MaxFrame;
    }

    [StructLayout(LayoutKind.Explicit, Size = 16)]
    private struct MapRequest
    {
        /// <summary>Capacity of the buffer in entries; entries written.</summary>
        [FieldOffset(0)] public uint Entries;
        [FieldOffset(8)] public ulong Buffer;
    }

    [StructLayout(LayoutKind.Explicit, Size = 20)]
    private struct E820Entry
    {
        [FieldOffset(0)] public ulong Address;
        [FieldOffset(8)] public ulong Size;
        [FieldOffset(16)] public uint Type;
    }

    [StructLayout(LayoutKind.Explicit, Size = 32)]
    private struct Reservation
    {
        [FieldOffset(0)] public ulong Start;
        [FieldOffset(8)] public ulong Extents;
        [FieldOffset(16)] public uint Order;
        [FieldOffset(20)] public uint Flags;
        [FieldOffset(24)] public ushort Domain;
    }
}
