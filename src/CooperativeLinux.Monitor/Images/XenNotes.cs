namespace CooperativeLinux.Monitor.Images;

/// <summary>What a PV kernel says about itself in its Xen ELF notes (Xen's public elfnote.h).</summary>
public sealed record XenNotes
{
    /// <summary>ENTRY: virtual address of the first instruction.</summary>
    public required ulong Entry { get; init; }

    /// <summary>VIRT_BASE: virtual address of pseudo-physical 0; 0 if not stated.</summary>
    public ulong VirtualBase { get; init; }

    /// <summary>PADDR_OFFSET: what the physical addresses of the ELF file exceed pseudo-physical ones by.</summary>
    public ulong PhysicalOffset { get; init; }

    /// <summary>HYPERCALL_PAGE: virtual address of the page to fill with hypercall stubs; absent in kernels that
    /// execute <c>syscall</c> themselves.</summary>
    public ulong? HypercallPage { get; init; }

    /// <summary>INIT_P2M: virtual address where the p2m list is to be mapped; absent: inside the initial mapping.</summary>
    public ulong? InitialP2M { get; init; }

    /// <summary>HV_START_LOW: lowest virtual address of the hypervisor hole.</summary>
    public ulong? HypervisorStart { get; init; }

    /// <summary>MOD_START_PFN: the initrd need not be mapped and mod_start is a frame number.</summary>
    public bool ModuleStartIsFrame { get; init; }

    /// <summary>SUSPEND_CANCEL: suspending can be cancelled.</summary>
    public bool CanCancelSuspend { get; init; }

    /// <summary>GUEST_OS, such as "linux".</summary>
    public string GuestOS { get; init; } = "";

    /// <summary>GUEST_VERSION.</summary>
    public string GuestVersion { get; init; } = "";

    /// <summary>XEN_VERSION, such as "xen-3.0".</summary>
    public string XenVersion { get; init; } = "";

    /// <summary>LOADER, such as "generic".</summary>
    public string Loader { get; init; } = "";

    /// <summary>FEATURES and SUPPORTED_FEATURES: what the kernel can live with.</summary>
    public XenFeatures SupportedFeatures { get; init; }

    /// <summary>FEATURES with an exclamation mark: what it demands.</summary>
    public XenFeatures RequiredFeatures { get; init; }
}
