namespace CooperativeLinux.Monitor.Machine;

/// <summary>Where vCPU 0 starts, after the domain builder has filled guest memory (pv-interface 1.3 to 1.5).</summary>
/// <param name="EntryPoint">Virtual address of the kernel's entry note.</param>
/// <param name="StackPointer">Virtual address of the end of the boot stack page.</param>
/// <param name="StartInfo">Virtual address of start_info.</param>
/// <param name="KernelRoot">Frame of the initial level-4 table.</param>
public sealed record BootState(ulong EntryPoint, ulong StackPointer, ulong StartInfo, ulong KernelRoot)
{
    /// <summary>All initial page tables: frame and level, 1 to 4.</summary>
    public IReadOnlyList<(ulong Frame, int Level)> PageTables { get; init; } = [];
}
