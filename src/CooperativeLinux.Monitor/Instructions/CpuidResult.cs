namespace CooperativeLinux.Monitor.Instructions;

/// <summary>The four registers a cpuid leaf fills.</summary>
internal readonly record struct CpuidResult(uint Eax, uint Ebx, uint Ecx, uint Edx);

/// <summary>What an answer of cpuid depends on beside leaf and sub-leaf.</summary>
/// <param name="VcpuIndex">The vCPU that asks.</param>
/// <param name="IsForcedForm">The "ud2 xen cpuid" form.</param>
/// <param name="IsUserMode">Whether user code asks.</param>
/// <param name="Cr4">The guest's CR4.</param>
/// <param name="Xcr0">The guest's XCR0.</param>
internal readonly record struct CpuidQuery(int VcpuIndex, bool IsForcedForm, bool IsUserMode, ulong Cr4, ulong Xcr0);
