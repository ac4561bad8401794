using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>mmu_update and update_va_mapping (pv-interface 3.4).</summary>
internal sealed class MmuHypercalls(DomainServices domain)
{
    /// <summary>Most entries in one call; Linux uses 32.</summary>
    private const uint MaxCount = 1 << 16;

    private const int CommandMask = 7, NormalPageTable = 0, MachinePhysicalUpdate = 1, PreserveAccessedDirty = 2, WithoutTranslation = 3;

    private const ulong FlushTypeMask = 3, FlushTlb = 1, FlushPage = 2, FlushLocal = 0, FlushAllVcpus = 4;

    /// <summary>mmu_update(requests, count, done, domain).</summary>
    public long Update(VcpuContext vcpu, in HypercallArguments arguments)
    {
        uint count = (uint)arguments.B;
        long result = 0;
        uint done = 0;
        if (!domain.IsSelf(arguments.D))
        {
            result = -XenError.ESRCH;
        }
        else if (count > MaxCount)
        {
            result = -XenError.EINVAL;
        }
        else
        {
            for (; done < count && result == 0; done++)
            {
                result = vcpu.Processor.TryRead(arguments.A + (done * (ulong)UpdateRequest.TotalSize), out UpdateRequest request)
                    ? UpdateOne(vcpu, request)
                    : -XenError.EFAULT;
                if (result != 0)
                {
                    break;
                }
            }
        }

        if (arguments.C != 0 && !vcpu.Processor.TryWrite(arguments.C, done))
        {
            return -XenError.EFAULT;
        }

        return result;
    }

    /// <summary>update_va_mapping(address, entry, flags).</summary>
    public long UpdateVaMapping(VcpuContext vcpu, in HypercallArguments arguments)
    {
        if (!PageTableWriter.TryFindEntry(vcpu, arguments.A, out ulong entryAddress)
            || !PageTableWriter.TryWrite(vcpu, entryAddress, arguments.B, preserveAccessedDirty: false))
        {
            return -XenError.EINVAL;
        }

        ulong type = arguments.C & FlushTypeMask;
        if (type == 0)
        {
            return 0;
        }

        ulong target = arguments.C & ~FlushTypeMask;
        ulong mask;
        switch (target)
        {
            case FlushLocal:
                mask = 1UL << vcpu.Index;
                break;
            case FlushAllVcpus:
                mask = domain.Tlb.All;
                break;
            default:
                // One word holds all vCPUs there can be.
                if (!vcpu.Processor.TryRead(target, out mask))
                {
                    return -XenError.EFAULT;
                }

                break;
        }

        switch (type)
        {
            case FlushTlb:
                domain.Tlb.Flush(vcpu, mask);
                return 0;
            case FlushPage:
                domain.Tlb.FlushPage(vcpu, mask, arguments.A);
                return 0;
            default:
                return -XenError.ENOSYS;
        }
    }

    private static long UpdateOne(VcpuContext vcpu, in UpdateRequest request)
    {
        ulong address = request.Pointer & ~(ulong)CommandMask;
        switch ((int)(request.Pointer & CommandMask))
        {
            case NormalPageTable or WithoutTranslation:
                return PageTableWriter.TryWrite(vcpu, address, request.Value, preserveAccessedDirty: false) ? 0 : -XenError.EINVAL;
            case PreserveAccessedDirty:
                return PageTableWriter.TryWrite(vcpu, address, request.Value, preserveAccessedDirty: true) ? 0 : -XenError.EINVAL;
            case MachinePhysicalUpdate:
                // Machine and pseudo-physical frames are the same, whatever the guest says.
                return 0;
            default:
                return -XenError.ENOSYS;
        }
    }

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct UpdateRequest
    {
        public const int TotalSize = 16;

        [FieldOffset(0)] public ulong Pointer;
        [FieldOffset(8)] public ulong Value;
    }
}
