namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>Hypercall numbers (pv-interface 3.1).</summary>
internal static class HypercallNumber
{
    public const uint SetTrapTable = 0, MmuUpdate = 1, SetGdt = 2, StackSwitch = 3, FpuTaskSwitch = 5, SetDebugRegister = 8,
        GetDebugRegister = 9, UpdateDescriptor = 10, MemoryOp = 12, Multicall = 13, UpdateVaMapping = 14, SetTimerOp = 15,
        XenVersion = 17, ConsoleIo = 18, GrantTableOp = 20, VmAssist = 21, Iret = 23, VcpuOp = 24, SetSegmentBase = 25,
        MmuExtOp = 26, SchedOp = 29, CallbackOp = 30, EventChannelOp = 32, PhysdevOp = 33, XenPmuOp = 40;

    /// <summary>Numbers below this have a meaning in some version of the interface.</summary>
    public const uint Count = 56;

    /// <summary>The name, for traces.</summary>
    public static string Name(uint number) => number switch
    {
        SetTrapTable => "set_trap_table",
        MmuUpdate => "mmu_update",
        SetGdt => "set_gdt",
        StackSwitch => "stack_switch",
        FpuTaskSwitch => "fpu_taskswitch",
        SetDebugRegister => "set_debugreg",
        GetDebugRegister => "get_debugreg",
        UpdateDescriptor => "update_descriptor",
        MemoryOp => "memory_op",
        Multicall => "multicall",
        UpdateVaMapping => "update_va_mapping",
        SetTimerOp => "set_timer_op",
        XenVersion => "xen_version",
        ConsoleIo => "console_io",
        GrantTableOp => "grant_table_op",
        VmAssist => "vm_assist",
        Iret => "iret",
        VcpuOp => "vcpu_op",
        SetSegmentBase => "set_segment_base",
        MmuExtOp => "mmuext_op",
        SchedOp => "sched_op",
        CallbackOp => "callback_op",
        EventChannelOp => "event_channel_op",
        PhysdevOp => "physdev_op",
        XenPmuOp => "xenpmu_op",
        _ => "unknown",
    };
}
