namespace CooperativeLinux.Monitor.Instructions;

/// <summary>
/// Masks of the CPUID feature words: what the guest may see of the host's features. The set is x86-64-v3 with the
/// crypto and random-number instructions; everything a PV kernel cannot use or would program through privileged
/// state is absent (pv-interface 2.8). Bits by their architectural names and positions.
/// </summary>
internal static class CpuFeatures
{
    /// <summary>Leaf 1 ECX: SSE3 0, PCLMULQDQ 1, SSSE3 9, FMA 12, CX16 13, SSE4.1 19, SSE4.2 20, MOVBE 22, POPCNT 23, AES 25,
    /// XSAVE 26, AVX 28, F16C 29, RDRAND 30.</summary>
    public const uint Leaf1Ecx = 1u << 0 | 1u << 1 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23
        | 1u << 25 | Xsave | Avx | 1u << 29 | 1u << 30;

    public const uint Xsave = 1u << 26, OsXsave = 1u << 27, Avx = 1u << 28, Hypervisor = 1u << 31;

    /// <summary>Leaf 1 EDX: FPU 0, DE 2, TSC 4, MSR 5, PAE 6, CX8 8, MCE 7, SEP 11, MCA 14, CMOV 15, PAT 16, CLFSH 19, MMX 23, FXSR 24,
    /// SSE 25, SSE2 26. Not PSE, PGE, MTRR, APIC, HTT. Machine checks have no banks; without the two bits kernels print an error.</summary>
    public const uint Leaf1Edx = 1u << 0 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 11 | 1u << 14 | 1u << 15
        | 1u << 16 | 1u << 19 | 1u << 23 | 1u << 24 | 1u << 25 | 1u << 26;

    /// <summary>Leaf 7.0 EBX: FSGSBASE 0, BMI1 3, AVX2 5, FDP_EXCPTN_ONLY 6, BMI2 8, ERMS 9, no FPU CS/DS 13, ADX 19,
    /// CLFLUSHOPT 23, CLWB 24, SHA 29. Not RDSEED (no part of x86-64-v3, and broken on processors whose
    /// microcode we cannot see), SMEP, SMAP, INVPCID, RTM, MPX, AVX-512.</summary>
    public const uint Leaf7Ebx = 1u << 0 | 1u << 3 | Avx2 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 13 | 1u << 19
        | 1u << 23 | 1u << 24 | 1u << 29;

    public const uint Avx2 = 1u << 5;

    /// <summary>Leaf 7.0 EDX: FSRM 4. No speculation controls: they are MSRs.</summary>
    public const uint Leaf7Edx = 1u << 4;

    /// <summary>Leaf 7.0 EDX: ARCH_CAPABILITIES 29, always shown.</summary>
    public const uint ArchCapabilities = 1u << 29;

    /// <summary>
    /// IA32_ARCH_CAPABILITIES: the model is affected by none of the speculation attacks that the guest kernel knows workarounds
    /// for. Its kernel and user code share one host process, so those workarounds protect nothing here, and the host has its
    /// own. RDCL_NO 0, IBRS_ALL 1, SKIP_L1DFL_VMENTRY 3, SSB_NO 4, MDS_NO 5, IF_PSCHANGE_MC_NO 6, TAA_NO 8, SBDR_SSDP_NO 13,
    /// FBSDP_NO 14, PSDP_NO 15, BHI_NO 20, PBRSB_NO 24, GDS_NO 26, RFDS_NO 27, ITS_NO 62.
    /// </summary>
    public const ulong ArchCapabilitiesValue = 1ul << 0 | 1ul << 1 | 1ul << 3 | 1ul << 4 | 1ul << 5 | 1ul << 6 | 1ul << 8 | 1ul << 13
        | 1ul << 14 | 1ul << 15 | 1ul << 20 | 1ul << 24 | 1ul << 26 | 1ul << 27 | 1ul << 62;

    /// <summary>Leaf 0x80000021 of AMD: lfence serialises 2, null selectors clear the base 6, SRSO_NO 29.</summary>
    public const uint Leaf80000021Eax = 1u << 2 | 1u << 6 | 1u << 29;

    /// <summary>Leaf 0x80000021 of AMD: TSA_SQ_NO 1, TSA_L1_NO 2.</summary>
    public const uint Leaf80000021Ecx = 1u << 1 | 1u << 2;

    /// <summary>Leaf 0x80000001 ECX: LAHF 0, LZCNT 5, PREFETCHW 8. Not SVM, TOPOEXT, IBS, PERFCTR, MWAITX, XOP, FMA4, SSE4A.</summary>
    public const uint ExtendedEcx = 1u << 0 | 1u << 5 | 1u << 8;

    /// <summary>Leaf 0x80000001 EDX beyond the copies of leaf 1: SYSCALL 11, NX 20, LM 29. Not PAGE1GB, RDTSCP, 3DNow.</summary>
    public const uint ExtendedEdx = 1u << 11 | 1u << 20 | 1u << 29;

    /// <summary>Leaf 0x80000001 EDX, AMD: copies of leaf 1 EDX bits, and MMXEXT 22.</summary>
    public const uint ExtendedEdxAmd = ExtendedEdx | (Leaf1Edx & 0x0183_f3ff) | 1u << 22;

    /// <summary>Leaf 0xd.1 EAX: XSAVEOPT 0, XSAVEC 1, XGETBV(1) 2. Not XSAVES.</summary>
    public const uint XsaveVariants = 7;

    /// <summary>XCR0 components: x87 0, SSE 1, AVX 2.</summary>
    public const ulong XstateX87 = 1, XstateSse = 2, XstateAvx = 4;

    /// <summary>Leaf 0x80000007 EDX: the TSC runs at one rate and never stops.</summary>
    public const uint InvariantTsc = 1u << 8;

    /// <summary>Leaf 0x80000008 EBX: XSAVEERPTR 2.</summary>
    public const uint Leaf80000008Ebx = 1u << 2;
}
