using System.Runtime.CompilerServices;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Processor.Execution;

namespace CooperativeLinux.Monitor.Traps;

/// <summary>
/// Enters the guest kernel: builds the bounce frame on its stack and sets the registers (pv-interface 2.2 to 2.6).
/// Frame, from the new rsp upwards: rcx, r11, [ds, es, fs, gs of the failsafe callback], [error code], rip,
/// cs | saved upcall mask shifted by 32, rflags, rsp, ss.
/// </summary>
internal static unsafe class TrapDelivery
{
    /// <summary>Words of the largest frame.</summary>
    private const int MaxFrameWords = 12;

    /// <summary>Flags cleared on every entry.</summary>
    private const ulong ClearedFlags = RflagsBits.Trap | RflagsBits.NestedTask | RflagsBits.Resume | RflagsBits.AlignmentCheck;

    /// <summary>Delivers a processor exception to the guest's trap table.</summary>
    public static void DeliverException(VcpuContext vcpu, in GuestException exception)
    {
        if (exception.Vector == GuestException.PageFault && vcpu.HasInfo)
        {
            vcpu.Info.Cr2 = exception.Address;
        }

        ref readonly TrapInfo trap = ref vcpu.Traps[exception.Vector];
        if (trap.Address == 0)
        {
            vcpu.Crash(Describe(vcpu, exception) + ", and the guest has no handler for it");
            return;
        }

        if (exception.Vector == GuestException.Debug)
        {
            // Single step is the only debug trap there is; DR6.BS tells so.
            vcpu.DebugRegisters[6] |= 1UL << 14;
        }

        if (!TryEnter(vcpu, trap.Address, trap.MasksEvents, TrapTable.HasErrorCode(exception.Vector), exception.ErrorCode))
        {
            vcpu.Crash(Describe(vcpu, exception) + ", and the guest's kernel stack cannot be written");
        }
    }

    /// <summary>Delivers `int n`, with rip already after the instruction, through an entry the caller has checked.</summary>
    public static void DeliverSoftwareInterrupt(VcpuContext vcpu, byte vector)
    {
        ref readonly TrapInfo trap = ref vcpu.Traps[vector];
        if (!TryEnter(vcpu, trap.Address, trap.MasksEvents, hasErrorCode: false, 0))
        {
            vcpu.Crash($"int {vector:#x}, and the guest's kernel stack cannot be written");
        }
    }

    /// <summary>Delivers what is due between two instructions: an NMI, else an event.</summary>
    public static void DeliverPending(VcpuContext vcpu)
    {
        if (vcpu.IsNmiDue)
        {
            DeliverNmi(vcpu);
        }

        if (!vcpu.IsUpcallDue)
        {
            return;
        }

        GuestCallback callback = vcpu.EventCallback;
        if (callback.Address == 0)
        {
            return;
        }

        // The handler clears upcall_pending; events stay masked until its iret.
        if (!TryEnter(vcpu, callback.Address, masksEvents: true, hasErrorCode: false, 0))
        {
            vcpu.Crash("the guest's kernel stack cannot be written to deliver an event");
        }
    }

    /// <summary>
    /// Bounces a system call of user code. Unlike in other frames the rcx and r11 words hold rip and rflags, and cs and ss are
    /// the kernel's, as after the instruction on hardware.
    /// </summary>
    public static void DeliverSyscall(VcpuContext vcpu, GuestCallback callback)
    {
        VcpuState* state = vcpu.State;
        ulong rip = state->Rip;
        ulong rflags = state->Rflags;
        ulong rsp = state->Rsp;
        byte mask = vcpu.HasInfo ? vcpu.Info.UpcallMask : (byte)1;
        vcpu.SwitchMode(user: false);

        const int Words = 7;
        ulong* frame = stackalloc ulong[Words];
        frame[0] = rip;
        frame[1] = rflags;
        frame[2] = rip;
        frame[3] = Selector.FlatKernelCode | ((ulong)mask << 32);
        frame[4] = mask == 0 ? rflags : rflags & ~RflagsBits.Interrupt;
        frame[5] = rsp;
        frame[6] = Selector.FlatKernelData;
        ulong top = (vcpu.KernelStackPointer & ~15UL) - (Words * 8);
        if (!vcpu.Processor.TryWrite(top, new ReadOnlySpan<byte>(frame, Words * 8), out _))
        {
            vcpu.Crash("the guest's kernel stack cannot be written to deliver a system call");
            return;
        }

        state->Rcx = rip;
        state->R11 = rflags;
        Enter(vcpu, callback.Address, top, callback.MasksEvents, ClearedFlags | RflagsBits.Direction);
    }

    /// <summary>
    /// Tells the kernel that an iret failed. The state must be what the iret would have set up; the kernel
    /// finds the data selectors unchanged and raises a #GP at that place.
    /// </summary>
    public static void DeliverFailsafe(VcpuContext vcpu)
    {
        GuestCallback callback = vcpu.FailsafeCallback;
        if (callback.Address == 0)
        {
            vcpu.Crash("an iret to a bad context, and the guest has no failsafe callback");
        }
        else if (!TryEnter(vcpu, callback.Address, callback.MasksEvents, hasErrorCode: false, 0, isFailsafe: true))
        {
            vcpu.Crash("the guest's kernel stack cannot be written to deliver the failsafe callback");
        }
    }

    private static void DeliverNmi(VcpuContext vcpu)
    {
        ref readonly TrapInfo trap = ref vcpu.Traps[TrapTable.NmiVector];
        if (trap.Address == 0)
        {
            return;
        }

        vcpu.NmiPending = false;
        vcpu.NmiMasked = true;
        if (!TryEnter(vcpu, trap.Address, trap.MasksEvents, hasErrorCode: false, 0))
        {
            vcpu.Crash("the guest's kernel stack cannot be written to deliver an NMI");
        }
    }

    [SkipLocalsInit]
    private static bool TryEnter(
        VcpuContext vcpu, ulong handler, bool masksEvents, bool hasErrorCode, uint errorCode, bool isFailsafe = false)
    {
        VcpuState* state = vcpu.State;
        ulong rsp = state->Rsp;
        ulong rflags = state->Rflags;
        ulong cs = state->Selectors[Selector.Cs];
        byte mask = vcpu.HasInfo ? vcpu.Info.UpcallMask : (byte)1;
        ulong top = rsp;
        if (vcpu.IsUserMode)
        {
            cs |= Selector.RplMask;
            top = vcpu.KernelStackPointer;
            vcpu.SwitchMode(user: false);
        }
        else
        {
            // Linux tells by these bits whether the frame comes from user mode.
            cs &= ~(ulong)Selector.RplMask;
        }

        ulong* frame = stackalloc ulong[MaxFrameWords];
        int words = 0;
        frame[words++] = state->Rcx;
        frame[words++] = state->R11;
        if (isFailsafe)
        {
            frame[words++] = state->Selectors[Selector.Ds];
            frame[words++] = state->Selectors[Selector.Es];
            frame[words++] = state->Selectors[Selector.Fs];
            frame[words++] = state->Selectors[Selector.Gs];
        }

        if (hasErrorCode)
        {
            frame[words++] = errorCode;
        }

        frame[words++] = state->Rip;
        frame[words++] = cs | ((ulong)mask << 32);
        frame[words++] = mask == 0 ? rflags : rflags & ~RflagsBits.Interrupt;
        frame[words++] = rsp;
        frame[words++] = state->Selectors[Selector.Ss];
        top = (top & ~15UL) - ((ulong)words * 8);
        if (!vcpu.Processor.TryWrite(top, new ReadOnlySpan<byte>(frame, words * 8), out _))
        {
            return false;
        }

        Enter(vcpu, handler, top, masksEvents, ClearedFlags);
        return true;
    }

    private static void Enter(VcpuContext vcpu, ulong handler, ulong top, bool masksEvents, ulong clearedFlags)
    {
        VcpuState* state = vcpu.State;
        state->Rip = handler;
        state->Rsp = top;
        state->Selectors[Selector.Cs] = Selector.FlatKernelCode;
        state->Selectors[Selector.Ss] = Selector.FlatKernelData;
        state->Rflags &= ~clearedFlags;
        if (masksEvents && vcpu.HasInfo)
        {
            vcpu.Info.UpcallMask = 1;
        }
    }

    private static string Describe(VcpuContext vcpu, in GuestException exception)
    {
        string mode = vcpu.IsUserMode ? "user" : "kernel";
        string text = $"exception {exception.Vector} (error code {exception.ErrorCode:#x}) at rip {vcpu.State->Rip:x16} in {mode} mode";
        return exception.Vector == GuestException.PageFault ? $"{text}, address {exception.Address:x16}" : text;
    }
}
