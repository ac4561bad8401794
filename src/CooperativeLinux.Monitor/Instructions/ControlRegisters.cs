using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>CR0 and CR4 as the guest sees them (pv-interface 2.9).</summary>
internal static class ControlRegisters
{
    /// <summary>PG, WP, NE, ET, MP, PE.</summary>
    public const ulong Cr0Fixed = 0x8001_0033;

    /// <summary>Task switched.</summary>
    public const ulong Cr0Ts = 8;

    /// <summary>PAE, MCE, OSFXSR, OSXMMEXCPT: always shown.</summary>
    public const ulong Cr4Fixed = 0x0000_0660;

    public const ulong Cr4Tsd = 4, Cr4De = 8, Cr4FsGsBase = 1 << 16, Cr4OsXsave = 1 << 18;

    /// <summary>What the guest decides itself.</summary>
    private const ulong Cr4GuestOwned = Cr4Tsd | Cr4De | Cr4FsGsBase | Cr4OsXsave;

    public static ulong ReadCr0(VcpuContext vcpu) => vcpu.TaskSwitched ? Cr0Fixed | Cr0Ts : Cr0Fixed;

    /// <summary>Takes TS; the rest is fixed.</summary>
    public static void WriteCr0(VcpuContext vcpu, ulong value) => vcpu.TaskSwitched = (value & Cr0Ts) != 0;

    /// <summary>Takes the bits the guest owns; others are dropped silently.</summary>
    public static void WriteCr4(VcpuContext vcpu, ulong value)
    {
        vcpu.Cr4 = (value & Cr4GuestOwned) | Cr4Fixed;
        vcpu.Processor.HandsOverTimestamp = (value & Cr4Tsd) != 0;
    }
}
