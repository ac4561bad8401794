using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Monitor.Traps;

/// <summary>HYPERVISOR_iret (pv-interface 2.6): the only way of the guest kernel to user mode.</summary>
internal static unsafe class InterruptReturn
{
    /// <summary>Frame flag: came in by a system call, rcx and r11 are lost anyway.</summary>
    private const ulong InSyscall = 0x100;

    /// <summary>Carries the hypercall out; the caller looks for events afterwards.</summary>
    [SkipLocalsInit]
    public static void Execute(VcpuContext vcpu)
    {
        VcpuState* state = vcpu.State;
        IretFrame frame;
        if (!vcpu.Processor.TryRead(state->Rsp, new Span<byte>(&frame, IretFrame.TotalSize), out _))
        {
            vcpu.Crash($"the frame of an iret at {state->Rsp:x16} cannot be read");
            return;
        }

        ushort cs = (ushort)frame.Cs;
        bool toUser = (cs & Selector.RplMask) == Selector.RplMask;
        if (toUser)
        {
            if (vcpu.UserRoot == 0)
            {
                vcpu.Crash("an iret to user mode without user page tables");
                return;
            }

            vcpu.SwitchMode(user: true);
        }

        cs |= Selector.RplMask;
        state->Rax = frame.Rax;
        if ((frame.Flags & InSyscall) == 0)
        {
            state->Rcx = frame.Rcx;
            state->R11 = frame.R11;
        }
        else
        {
            state->Rcx = frame.Rip;
            state->R11 = frame.Rflags;
        }

        state->Rip = frame.Rip;
        state->Rsp = frame.Rsp;
        state->Rflags = frame.Rflags;
        state->Selectors[Selector.Cs] = cs;
        state->Selectors[Selector.Ss] = (ushort)(frame.Ss | Selector.RplMask);
        if (vcpu.HasInfo)
        {
            Volatile.Write(ref vcpu.Info.UpcallMask, (frame.Rflags & RflagsBits.Interrupt) != 0 ? (byte)0 : (byte)1);
        }

        vcpu.NmiMasked = false;
        if (!CanonicalAddress.IsCanonical(frame.Rip) || !vcpu.Descriptors.IsLongCode(cs))
        {
            // 32-bit code is not supported: the process gets a #GP.
            TrapDelivery.DeliverFailsafe(vcpu);
        }
    }

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct IretFrame
    {
        public const int TotalSize = 72;

        [FieldOffset(0)] public ulong Rax;
        [FieldOffset(8)] public ulong R11;
        [FieldOffset(16)] public ulong Rcx;
        [FieldOffset(24)] public ulong Flags;
        [FieldOffset(32)] public ulong Rip;
        [FieldOffset(40)] public ulong Cs;
        [FieldOffset(48)] public ulong Rflags;
        [FieldOffset(56)] public ulong Rsp;
        [FieldOffset(64)] public ulong Ss;
    }
}
