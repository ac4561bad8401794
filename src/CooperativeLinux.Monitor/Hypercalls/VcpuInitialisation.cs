using System.Buffers.Binary;
using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Execution;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>VCPUOP_initialise: the first state of a secondary vCPU, a vcpu_guest_context of 5168 bytes (pv-interface 4.6).</summary>
internal static unsafe class VcpuInitialisation
{
    private const int ContextSize = 5168;

    private const int RegistersOffset = 520, TrapsOffset = 720, LdtBaseOffset = 4816, LdtEntriesOffset = 4824, GdtFramesOffset = 4832,
        GdtEntriesOffset = 4960, KernelSsOffset = 4968, KernelSpOffset = 4976, Cr3Offset = 4984 + (3 * 8), DebugRegistersOffset = 5048,
        EventCallbackOffset = 5112, FailsafeCallbackOffset = 5120, SyscallCallbackOffset = 5128, FsBaseOffset = 5144,
        GsBaseKernelOffset = 5152, GsBaseUserOffset = 5160;

    private const int RipOffset = 128, CsOffset = 136, RflagsOffset = 144, RspOffset = 152, SsOffset = 160, EsOffset = 168, DsOffset = 176,
        FsOffset = 184, GsOffset = 192;

    /// <summary>Order of the general registers in the context.</summary>
    private static ReadOnlySpan<byte> RegisterOrder => [15, 14, 13, 12, 5, 3, 11, 10, 9, 8, 0, 1, 2, 6, 7];

    /// <summary>Reads the context with the caller's page tables and gives it to the target, which must not be running.</summary>
    public static long Execute(VcpuContext caller, VcpuContext target, ulong address)
    {
        if (target.IsInitialised)
        {
            return -XenError.EEXIST;
        }

        byte[] context = new byte[ContextSize];
        if (!caller.Processor.TryRead(address, context, out _))
        {
            return -XenError.EFAULT;
        }

        ulong root = Read(context, Cr3Offset) >> 12;
        ulong entries = Read(context, GdtEntriesOffset);
        ulong ldtBase = Read(context, LdtBaseOffset), ldtEntries = Read(context, LdtEntriesOffset);
        if (root >= target.Memory.FrameCount || entries > DescriptorTables.MaxEntries || ldtEntries > DescriptorTables.MaxLdtEntries
            || ldtBase % GuestMemory.PageSize != 0 || !CanonicalAddress.IsCanonical(ldtBase))
        {
            return -XenError.EINVAL;
        }

        int frameCount = ((int)entries + DescriptorTables.EntriesPerFrame - 1) / DescriptorTables.EntriesPerFrame;
        ReadOnlySpan<ulong> frames = MemoryMarshal.Cast<byte, ulong>(context.AsSpan(GdtFramesOffset, frameCount * 8));
        foreach (ulong frame in frames)
        {
            if (frame >= target.Memory.FrameCount)
            {
                return -XenError.EINVAL;
            }
        }

        ReadOnlySpan<int> addresses = [EventCallbackOffset, FailsafeCallbackOffset, SyscallCallbackOffset, FsBaseOffset, GsBaseKernelOffset,
            GsBaseUserOffset, RegistersOffset + RipOffset];
        foreach (int offset in addresses)
        {
            if (!CanonicalAddress.IsCanonical(Read(context, offset)))
            {
                return -XenError.EINVAL;
            }
        }

        target.Descriptors.SetGdt(frames, (int)entries);
        target.Descriptors.SetLdt(ldtBase, (int)ldtEntries);
        LoadRegisters(target, context.AsSpan(RegistersOffset));
        LoadTraps(target, context.AsSpan(TrapsOffset, TrapTable.Count * TrapInfo.TotalSize));
        target.KernelStackSelector = (ushort)Read(context, KernelSsOffset);
        target.KernelStackPointer = Read(context, KernelSpOffset);
        for (int i = 0; i < target.DebugRegisters.Length; i++)
        {
            if (i is not 4 and not 5)
            {
                target.DebugRegisters[i] = Read(context, DebugRegistersOffset + (i * 8));
            }
        }

        target.EventCallback = new GuestCallback(Read(context, EventCallbackOffset), MasksEvents: true);
        target.FailsafeCallback = new GuestCallback(Read(context, FailsafeCallbackOffset), MasksEvents: false);
        target.SyscallCallback = new GuestCallback(Read(context, SyscallCallbackOffset), MasksEvents: false);
        target.State->FsBase = Read(context, FsBaseOffset);
        target.State->GsBase = Read(context, GsBaseKernelOffset);
        target.InactiveGsBase = Read(context, GsBaseUserOffset);
        target.SetRoots(root, 0);
        target.IsInitialised = true;
        return 0;
    }

    private static void LoadRegisters(VcpuContext target, ReadOnlySpan<byte> registers)
    {
        VcpuState* state = target.State;
        ReadOnlySpan<byte> order = RegisterOrder;
        for (int i = 0; i < order.Length; i++)
        {
            state->Registers[order[i]] = Read(registers, i * 8);
        }

        state->Rip = Read(registers, RipOffset);
        state->Rsp = Read(registers, RspOffset);
        state->Rflags = Read(registers, RflagsOffset);
        state->Selectors[Selector.Cs] = (ushort)(Read(registers, CsOffset) | Selector.RplMask);
        state->Selectors[Selector.Ss] = (ushort)(Read(registers, SsOffset) | Selector.RplMask);
        state->Selectors[Selector.Es] = (ushort)Read(registers, EsOffset);
        state->Selectors[Selector.Ds] = (ushort)Read(registers, DsOffset);
        state->Selectors[Selector.Fs] = (ushort)Read(registers, FsOffset);
        state->Selectors[Selector.Gs] = (ushort)Read(registers, GsOffset);
        state->UserMode = 0;
        state->Mxcsr = InitialState.Mxcsr;
    }

    private static void LoadTraps(VcpuContext target, ReadOnlySpan<byte> table)
    {
        ReadOnlySpan<TrapInfo> entries = MemoryMarshal.Cast<byte, TrapInfo>(table);
        target.Traps.Clear();
        for (int vector = 0; vector < entries.Length; vector++)
        {
            TrapInfo entry = entries[vector];
            if (entry.Address != 0 && CanonicalAddress.IsCanonical(entry.Address))
            {
                // The position counts; the vector field may be left out.
                entry.Vector = (byte)vector;
                target.Traps.Set(entry);
            }
        }
    }

    private static ulong Read(ReadOnlySpan<byte> context, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(context[offset..]);
}
