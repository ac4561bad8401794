using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Machine;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>
/// Sends hypercalls to their handlers. Handlers trust nothing: whatever the guest passes is read once and checked, and a
/// bad call gets a negative error. Unknown numbers give −ENOSYS and are logged once.
/// </summary>
internal sealed partial class HypercallDispatcher
{
    /// <summary>Most entries of a multicall; Linux uses 32.</summary>
    private const ulong MaxMulticall = 1 << 14;

    private readonly DomainServices _domain;
    private readonly HypercallTracer? _tracer;
    private readonly MmuHypercalls _mmu;
    private readonly MmuExtHypercalls _mmuExt;
    private readonly DescriptorHypercalls _descriptors;
    private readonly MemoryHypercalls _memory;
    private readonly VersionHypercalls _version;
    private readonly ConsoleHypercalls _console;
    private readonly GrantHypercalls _grants;
    private readonly VcpuHypercalls _vcpus;
    private readonly SchedulerHypercalls _scheduler;
    private readonly EventChannelHypercalls _events;
    private readonly MiscHypercalls _misc;
    private ulong _loggedUnknown;

    /// <param name="domain">What the calls work on.</param>
    /// <param name="tracer">Prints each call; null: none.</param>
    public HypercallDispatcher(DomainServices domain, HypercallTracer? tracer)
    {
        _domain = domain;
        _tracer = tracer;
        _mmu = new MmuHypercalls(domain);
        _mmuExt = new MmuExtHypercalls(domain);
        _descriptors = new DescriptorHypercalls(domain);
        _memory = new MemoryHypercalls(domain);
        _version = new VersionHypercalls(domain);
        _console = new ConsoleHypercalls(domain);
        _grants = new GrantHypercalls(domain);
        _vcpus = new VcpuHypercalls(domain);
        _scheduler = new SchedulerHypercalls(domain);
        _events = new EventChannelHypercalls(domain);
        _misc = new MiscHypercalls(domain);
    }

    /// <summary>Carries out one hypercall other than iret.</summary>
    /// <returns>What the guest gets in rax.</returns>
    public long Dispatch(VcpuContext vcpu, uint number, in HypercallArguments arguments)
    {
        if (_tracer is null)
        {
            return DispatchUntraced(vcpu, number, arguments, isNested: false);
        }

        long result = DispatchUntraced(vcpu, number, arguments, isNested: false);
        _tracer.Trace(vcpu, number, arguments, result, isNested: false);
        return result;
    }

    private long DispatchUntraced(VcpuContext vcpu, uint number, in HypercallArguments arguments, bool isNested)
    {
        switch (number)
        {
            case HypercallNumber.XenVersion:
                return _version.Execute(vcpu, arguments);
            case HypercallNumber.MmuUpdate:
                return _mmu.Update(vcpu, arguments);
            case HypercallNumber.UpdateVaMapping:
                return _mmu.UpdateVaMapping(vcpu, arguments);
            case HypercallNumber.MmuExtOp:
                return _mmuExt.Execute(vcpu, arguments);
            case HypercallNumber.Multicall:
                return isNested ? -XenError.EINVAL : Multicall(vcpu, arguments);
            case HypercallNumber.StackSwitch:
                return DescriptorHypercalls.StackSwitch(vcpu, arguments);
            case HypercallNumber.SetSegmentBase:
                return DescriptorHypercalls.SetSegmentBase(vcpu, arguments);
            case HypercallNumber.FpuTaskSwitch:
                return DescriptorHypercalls.FpuTaskSwitch(vcpu, arguments);
            case HypercallNumber.UpdateDescriptor:
                return _descriptors.UpdateDescriptor(arguments);
            case HypercallNumber.SetTrapTable:
                return _descriptors.SetTrapTable(vcpu, arguments);
            case HypercallNumber.SetGdt:
                return _descriptors.SetGdt(vcpu, arguments);
            case HypercallNumber.SetDebugRegister:
                return DescriptorHypercalls.SetDebugRegister(vcpu, arguments);
            case HypercallNumber.GetDebugRegister:
                return DescriptorHypercalls.GetDebugRegister(vcpu, arguments);
            case HypercallNumber.SchedOp:
                return _scheduler.Execute(vcpu, arguments);
            case HypercallNumber.EventChannelOp:
                return _events.Execute(vcpu, arguments);
            case HypercallNumber.VcpuOp:
                return _vcpus.Execute(vcpu, arguments);
            case HypercallNumber.SetTimerOp:
                return _misc.SetTimer(vcpu, arguments);
            case HypercallNumber.GrantTableOp:
                return _grants.Execute(vcpu, arguments);
            case HypercallNumber.MemoryOp:
                return _memory.Execute(vcpu, arguments);
            case HypercallNumber.ConsoleIo:
                return _console.Execute(vcpu, arguments);
            case HypercallNumber.CallbackOp:
                return CallbackHypercalls.Execute(vcpu, arguments);
            case HypercallNumber.PhysdevOp:
                return MiscHypercalls.PhysicalDevice(vcpu, arguments);
            case HypercallNumber.VmAssist:
                // No assistance is offered; in particular runstate areas are not updated.
                return -XenError.EINVAL;
            case HypercallNumber.XenPmuOp:
                return -XenError.EOPNOTSUPP;
            default:
                NoteUnknown(number);
                return -XenError.ENOSYS;
        }
    }

    /// <summary>multicall(entries, count): carries the entries out in order; an error in one does not stop the others.</summary>
    private long Multicall(VcpuContext vcpu, in HypercallArguments arguments)
    {
        if (arguments.B > MaxMulticall)
        {
            return -XenError.EINVAL;
        }

        for (ulong index = 0; index < arguments.B; index++)
        {
            ulong address = arguments.A + (index * MulticallEntry.TotalSize);
            if (!vcpu.Processor.TryRead(address, out MulticallEntry entry))
            {
                return -XenError.EFAULT;
            }

            long result = DispatchUntraced(vcpu, (uint)entry.Number, entry.Arguments, isNested: true);
            _tracer?.Trace(vcpu, (uint)entry.Number, entry.Arguments, result, isNested: true);
            if (!vcpu.Processor.TryWrite(address + MulticallEntry.ResultOffset, result))
            {
                return -XenError.EFAULT;
            }

            if (vcpu.Life.HasEnded)
            {
                break;
            }
        }

        return 0;
    }

    private void NoteUnknown(uint number)
    {
        ulong bit = 1UL << (int)Math.Min(number, 63);
        if ((Interlocked.Or(ref _loggedUnknown, bit) & bit) == 0)
        {
            LogUnknown(_domain.Logger, number);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "the guest used hypercall {Number}, which does not exist here")]
    private static partial void LogUnknown(ILogger logger, uint number);

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct MulticallEntry
    {
        public const int TotalSize = 64, ResultOffset = 8;

        [FieldOffset(0)] public ulong Number;
        [FieldOffset(16)] public HypercallArguments Arguments;
    }
}
