using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>callback_op: entry points of the guest kernel (pv-interface 3.3).</summary>
internal static class CallbackHypercalls
{
    private const ulong Register = 0, Unregister = 1;

    private const ushort Event = 0, Failsafe = 1, Syscall = 2, NmiHandler = 4, Sysenter = 5, Syscall32 = 7;

    private const ushort MaskEvents = 1;

    public static long Execute(VcpuContext vcpu, in HypercallArguments arguments)
    {
        switch (arguments.A)
        {
            case Register:
                if (!vcpu.Processor.TryRead(arguments.B, out Registration registration))
                {
                    return -XenError.EFAULT;
                }

                if (!CanonicalAddress.IsCanonical(registration.Address))
                {
                    return -XenError.EINVAL;
                }

                return Set(vcpu, registration.Type, new GuestCallback(registration.Address, (registration.Flags & MaskEvents) != 0));
            case Unregister:
                if (!vcpu.Processor.TryRead(arguments.B, out ushort type))
                {
                    return -XenError.EFAULT;
                }

                // The kernel cannot do without these.
                return type is Event or Failsafe ? -XenError.EINVAL : Set(vcpu, type, default);
            default:
                return -XenError.ENOSYS;
        }
    }

    private static long Set(VcpuContext vcpu, ushort type, GuestCallback callback)
    {
        switch (type)
        {
            case Event:
                vcpu.EventCallback = callback;
                return 0;
            case Failsafe:
                vcpu.FailsafeCallback = callback;
                return 0;
            case Syscall:
                vcpu.SyscallCallback = callback;
                return 0;
            case NmiHandler:
                TrapInfo trap = vcpu.Traps[TrapTable.NmiVector];
                trap.Vector = TrapTable.NmiVector;
                trap.Address = callback.Address;
                trap.Flags = (byte)(callback.MasksEvents ? 4 : 0);
                vcpu.Traps.Set(trap);
                return 0;
            case Sysenter or Syscall32:
                // Entries of 32-bit code, which cannot run. The kernel then clears the CPU feature.
                return -XenError.EINVAL;
            default:
                return -XenError.ENOSYS;
        }
    }

    [StructLayout(LayoutKind.Explicit, Size = 16)]
    private struct Registration
    {
        [FieldOffset(0)] public ushort Type;
        [FieldOffset(2)] public ushort Flags;
        [FieldOffset(8)] public ulong Address;
    }
}
