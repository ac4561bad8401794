using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>physdev_op (pv-interface 3.11) and single hypercalls without a group.</summary>
internal sealed class MiscHypercalls(DomainServices domain)
{
    private const ulong SetIoPrivilegeLevel = 6, SetIoBitmap = 7;

    /// <summary>physdev_op(command, argument): there are no devices; I/O privileges change nothing, ports read as all ones.</summary>
    public static long PhysicalDevice(VcpuContext vcpu, in HypercallArguments arguments)
    {
        switch (arguments.A)
        {
            case SetIoPrivilegeLevel:
                if (!vcpu.Processor.TryRead(arguments.B, out uint level))
                {
                    return -XenError.EFAULT;
                }

                if (level > 3)
                {
                    return -XenError.EINVAL;
                }

                vcpu.IoPrivilegeLevel = level;
                return 0;
            case SetIoBitmap:
                return 0;
            default:
                return -XenError.ENOSYS;
        }
    }

    /// <summary>set_timer_op(deadline): system time in ns; 0 stops the timer.</summary>
    public long SetTimer(VcpuContext vcpu, in HypercallArguments arguments) =>
        arguments.A == 0 ? domain.Timers.StopSingleShot(vcpu.Index) : domain.Timers.SetSingleShot(vcpu.Index, arguments.A);
}
