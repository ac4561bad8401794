using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>mmuext_op: pinning, page-table roots, flushes, LDT (pv-interface 3.4).</summary>
internal sealed class MmuExtHypercalls(DomainServices domain)
{
    private const uint MaxCount = 1 << 16;

    private const uint PinLevel1 = 0, PinLevel4 = 3, Unpin = 4, NewBase = 5, TlbFlushLocal = 6, InvalidatePageLocal = 7,
        TlbFlushMulti = 8, InvalidatePageMulti = 9, TlbFlushAll = 10, InvalidatePageAll = 11, FlushCache = 12, SetLdt = 13,
        NewUserBase = 15, ClearPage = 16, CopyPage = 17, FlushCacheGlobal = 18, MarkSuper = 19, UnmarkSuper = 20;

    /// <summary>mmuext_op(operations, count, done, domain).</summary>
    public long Execute(VcpuContext vcpu, in HypercallArguments arguments)
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
            for (; done < count; done++)
            {
                result = vcpu.Processor.TryRead(arguments.A + (done * (ulong)Operation.TotalSize), out Operation operation)
                    ? ExecuteOne(vcpu, operation)
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

    private long ExecuteOne(VcpuContext vcpu, in Operation operation)
    {
        switch (operation.Command)
        {
            case >= PinLevel1 and <= PinLevel4:
                return Mark(vcpu, operation.Argument1, (int)operation.Command + 1);
            case Unpin:
                return Mark(vcpu, operation.Argument1, 0);
            case NewBase:
                return SwitchBase(vcpu, operation.Argument1);
            case NewUserBase:
                return SwitchUserBase(vcpu, operation.Argument1);
            case TlbFlushLocal:
                domain.Tlb.FlushLocal(vcpu);
                return 0;
            case TlbFlushAll:
                domain.Tlb.Flush(vcpu, domain.Tlb.All);
                return 0;
            case InvalidatePageLocal:
                vcpu.Processor.FlushPage(operation.Argument1);
                return 0;
            case InvalidatePageAll:
                domain.Tlb.FlushPage(vcpu, domain.Tlb.All, operation.Argument1);
                return 0;
            case TlbFlushMulti or InvalidatePageMulti:
                return FlushMulti(vcpu, operation);
            case FlushCache or FlushCacheGlobal:
                return 0;
            case SetLdt:
                return SetLocalDescriptors(vcpu, operation);
            case ClearPage or CopyPage:
                return FillPage(operation);
            case MarkSuper or UnmarkSuper:
                return -XenError.EOPNOTSUPP;
            default:
                return -XenError.ENOSYS;
        }
    }

    private long Mark(VcpuContext vcpu, ulong frame, int level)
    {
        if (frame >= domain.Memory.FrameCount)
        {
            return -XenError.EINVAL;
        }

        vcpu.Processor.MarkPageTable(frame, level);
        return 0;
    }

    private long SwitchBase(VcpuContext vcpu, ulong frame)
    {
        if (frame >= domain.Memory.FrameCount)
        {
            return -XenError.EINVAL;
        }

        vcpu.SetKernelRoot(frame);
        return 0;
    }

    private long SwitchUserBase(VcpuContext vcpu, ulong frame)
    {
        if (frame >= domain.Memory.FrameCount)
        {
            return -XenError.EINVAL;
        }

        vcpu.SetUserRoot(frame);
        return 0;
    }

    private long FlushMulti(VcpuContext vcpu, in Operation operation)
    {
        // The guest's bitmap has as many words as its possible vCPUs need: one.
        if (!vcpu.Processor.TryRead(operation.Argument2, out ulong mask))
        {
            return -XenError.EFAULT;
        }

        if (operation.Command == TlbFlushMulti)
        {
            domain.Tlb.Flush(vcpu, mask);
        }
        else
        {
            domain.Tlb.FlushPage(vcpu, mask, operation.Argument1);
        }

        return 0;
    }

    private static long SetLocalDescriptors(VcpuContext vcpu, in Operation operation)
    {
        ulong address = operation.Argument1, entries = operation.Argument2;
        if (entries > DescriptorTables.MaxLdtEntries || address % GuestMemory.PageSize != 0 || !CanonicalAddress.IsCanonical(address))
        {
            return -XenError.EINVAL;
        }

        vcpu.Descriptors.SetLdt(address, (int)entries);
        return 0;
    }

    private long FillPage(in Operation operation)
    {
        if (operation.Argument1 >= domain.Memory.FrameCount
            || (operation.Command == CopyPage && operation.Argument2 >= domain.Memory.FrameCount))
        {
            return -XenError.EINVAL;
        }

        Span<byte> target = domain.Memory.WritableRange(operation.Argument1 * GuestMemory.PageSize, GuestMemory.PageSize);
        if (operation.Command == ClearPage)
        {
            target.Clear();
        }
        else
        {
            domain.Memory.Frame(operation.Argument2).CopyTo(target);
        }

        return 0;
    }

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct Operation
    {
        public const int TotalSize = 24;

        [FieldOffset(0)] public uint Command;
        [FieldOffset(8)] public ulong Argument1;
        [FieldOffset(16)] public ulong Argument2;
    }
}
