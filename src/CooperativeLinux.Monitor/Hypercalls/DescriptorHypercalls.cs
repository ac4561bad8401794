using CooperativeLinux.Monitor.Instructions;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>Traps, descriptors, stacks, segment bases, debug registers (pv-interface 3.3).</summary>
internal sealed unsafe class DescriptorHypercalls(DomainServices domain)
{
    private const ulong FsBase = 0, UserGsBase = 1, KernelGsBase = 2, UserGsSelector = 3;

    /// <summary>set_trap_table(entries): up to the first entry with address 0; null clears the table.</summary>
    public long SetTrapTable(VcpuContext vcpu, in HypercallArguments arguments)
    {
        if (arguments.A == 0)
        {
            vcpu.Traps.Clear();
            return 0;
        }

        // A list names each vector once; anything longer does not end.
        for (int index = 0; index <= TrapTable.Count; index++)
        {
            if (!vcpu.Processor.TryRead(arguments.A + (ulong)(index * TrapInfo.TotalSize), out TrapInfo entry))
            {
                return -XenError.EFAULT;
            }

            if (entry.Address == 0)
            {
                return 0;
            }

            if (!CanonicalAddress.IsCanonical(entry.Address))
            {
                return -XenError.EINVAL;
            }

            vcpu.Traps.Set(entry);
        }

        return -XenError.EINVAL;
    }

    /// <summary>set_gdt(frames, entries).</summary>
    public long SetGdt(VcpuContext vcpu, in HypercallArguments arguments)
    {
        uint entries = (uint)arguments.B;
        if (entries > DescriptorTables.MaxEntries)
        {
            return -XenError.EINVAL;
        }

        Span<ulong> frames = stackalloc ulong[DescriptorTables.MaxFrames];
        int count = ((int)entries + DescriptorTables.EntriesPerFrame - 1) / DescriptorTables.EntriesPerFrame;
        for (int index = 0; index < count; index++)
        {
            if (!vcpu.Processor.TryRead(arguments.A + (ulong)(index * 8), out frames[index]))
            {
                return -XenError.EFAULT;
            }

            if (frames[index] >= domain.Memory.FrameCount)
            {
                return -XenError.EINVAL;
            }
        }

        vcpu.Descriptors.SetGdt(frames[..count], (int)entries);
        return 0;
    }

    /// <summary>update_descriptor(machine address, descriptor). Entries are never cached, so the write is all.</summary>
    public long UpdateDescriptor(in HypercallArguments arguments) =>
        arguments.A % 8 == 0 && arguments.A < domain.Memory.Size && domain.Memory.TryWrite(arguments.A, arguments.B) ? 0 : -XenError.EINVAL;

    /// <summary>stack_switch(ss, sp).</summary>
    public static long StackSwitch(VcpuContext vcpu, in HypercallArguments arguments)
    {
        vcpu.KernelStackSelector = (ushort)(arguments.A | Selector.RplMask);
        vcpu.KernelStackPointer = arguments.B;
        return 0;
    }

    /// <summary>fpu_taskswitch(set).</summary>
    public static long FpuTaskSwitch(VcpuContext vcpu, in HypercallArguments arguments)
    {
        vcpu.TaskSwitched = arguments.A != 0;
        return 0;
    }

    /// <summary>set_debugreg(number, value).</summary>
    public static long SetDebugRegister(VcpuContext vcpu, in HypercallArguments arguments)
    {
        if (!IsDebugRegister(arguments.A) || (arguments.A < 4 && !CanonicalAddress.IsCanonical(arguments.B)))
        {
            return -XenError.EINVAL;
        }

        vcpu.DebugRegisters[arguments.A] = arguments.B;
        return 0;
    }

    /// <summary>get_debugreg(number): the value itself.</summary>
    public static long GetDebugRegister(VcpuContext vcpu, in HypercallArguments arguments) =>
        IsDebugRegister(arguments.A) ? (long)vcpu.DebugRegisters[arguments.A] : -XenError.EINVAL;

    /// <summary>set_segment_base(which, value).</summary>
    public static long SetSegmentBase(VcpuContext vcpu, in HypercallArguments arguments)
    {
        ulong value = arguments.B;
        if (arguments.A == UserGsSelector)
        {
            LoadUserGs(vcpu, (ushort)value);
            return 0;
        }

        if (arguments.A > UserGsSelector || !CanonicalAddress.IsCanonical(value))
        {
            return -XenError.EINVAL;
        }

        switch (arguments.A)
        {
            case FsBase:
                vcpu.State->FsBase = value;
                break;
            case UserGsBase:
                vcpu.InactiveGsBase = value;
                break;
            case KernelGsBase:
                vcpu.State->GsBase = value;
                break;
        }

        return 0;
    }

    private static bool IsDebugRegister(ulong number) => number is <= 3 or 6 or 7;

    /// <summary>Loads the user's gs: selector and inactive base. A bad selector counts as null.</summary>
    private static void LoadUserGs(VcpuContext vcpu, ushort selector)
    {
        VcpuState* state = vcpu.State;
        ulong kernelBase = state->GsBase;
        if (!SegmentInstructions.TryLoad(vcpu, Selector.Gs, selector, out _))
        {
            _ = SegmentInstructions.TryLoad(vcpu, Selector.Gs, 0, out _);
        }

        vcpu.InactiveGsBase = state->GsBase;
        state->GsBase = kernelBase;
    }
}
