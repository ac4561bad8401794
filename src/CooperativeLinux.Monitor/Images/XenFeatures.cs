namespace CooperativeLinux.Monitor.Images;

/// <summary>Features a PV kernel names in its notes; the bits are those of Xen's public features.h.</summary>
[Flags]
public enum XenFeatures : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Page tables may be mapped writable.</summary>
    WritablePageTables = 1 << 0,

    /// <summary>Descriptor tables may be mapped writable.</summary>
    WritableDescriptorTables = 1 << 1,

    /// <summary>The host translates frame numbers.</summary>
    AutoTranslatedPhysmap = 1 << 2,

    /// <summary>The kernel runs in ring 0.</summary>
    SupervisorModeKernel = 1 << 3,

    /// <summary>PAE: the top table may lie above 4 GiB.</summary>
    PaePgdirAbove4Gb = 1 << 4,

    /// <summary>mmu_update can keep accessed and dirty bits.</summary>
    MmuPtUpdatePreserveAd = 1 << 5,

    /// <summary>Clearing and copying of high memory by hypercall.</summary>
    HighmemAssist = 1 << 6,

    /// <summary>Grant mappings can carry available PTE bits.</summary>
    GnttabMapAvailBits = 1 << 7,

    /// <summary>HVM: callback vector.</summary>
    HvmCallbackVector = 1 << 8,

    /// <summary>HVM: PV clock.</summary>
    HvmSafePvclock = 1 << 9,

    /// <summary>HVM: physical interrupts as event channels.</summary>
    HvmPirqs = 1 << 10,

    /// <summary>Can be the control domain.</summary>
    Dom0 = 1 << 11,

    /// <summary>memory_op takes virtual NUMA nodes.</summary>
    MemoryOpVnodeSupported = 1 << 12,

    /// <summary>ARM only.</summary>
    ArmSmccc = 1 << 13,

    /// <summary>PVH: the ACPI root pointer may be anywhere.</summary>
    LinuxRsdpUnrestricted = 1 << 14,

    /// <summary>Frames of the guest are not its machine frames.</summary>
    NotDirectMapped = 1 << 15,

    /// <summary>Frames of the guest are its machine frames.</summary>
    DirectMapped = 1 << 16,
}
