using System.Runtime.Intrinsics.X86;
using CooperativeLinux.Monitor.Hypercalls;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>
/// The CPU model shown to the guest: the host's, cut down to <see cref="CpuFeatures"/>, and the hypervisor leaves
/// (pv-interface 2.8). Immutable.
/// </summary>
internal sealed class CpuidPolicy
{
    private const uint HypervisorBase = 0x4000_0000, ExtendedBase = 0x8000_0000;
    private const uint LastBasicLeaf = 0x16, LastHypervisorLeaf = HypervisorBase + 5, LastExtendedLeaf = ExtendedBase + 8,
        LastExtendedLeafAmd = ExtendedBase + 0x21;

    /// <summary>Bytes of the XSAVE area with x87 and SSE, of the AVX part, and its offset.</summary>
    private const uint LegacyXsaveSize = 576, AvxStateSize = 256, AvxStateOffset = 576;

    /// <summary>Width of machine addresses: covers the special frames, and stays in reach of 32-bit grants.</summary>
    private const uint MachineAddressBits = 40;

    private const uint TscModeNeverEmulate = 2, TscHostSafe = 2;

    private readonly Func<uint, uint, CpuidResult> _host;
    private readonly uint _tscKilohertz;
    private readonly (uint Multiplier, int Shift) _tscScale;
    private readonly uint _maxBasic;
    private readonly uint _maxExtended;
    private readonly bool _isIntel;

    /// <param name="host">cpuid of the host: leaf, sub-leaf.</param>
    /// <param name="tscKilohertz">Rate of the guest's TSC in kHz.</param>
    /// <param name="tscScale">Multiplier and shift that make nanoseconds of TSC ticks (pv-interface 4.3).</param>
    public CpuidPolicy(Func<uint, uint, CpuidResult> host, uint tscKilohertz, (uint Multiplier, int Shift) tscScale)
    {
        _host = host;
        _tscKilohertz = tscKilohertz;
        _tscScale = tscScale;
        CpuidResult vendor = host(0, 0);
        const uint GenuineIntelEbx = 0x756e_6547;
        _isIntel = vendor.Ebx == GenuineIntelEbx;
        _maxBasic = Math.Min(vendor.Eax, LastBasicLeaf);
        if (_isIntel)
        {
            _maxBasic = LastBasicLeaf;
        }

        _maxExtended = _isIntel ? Math.Min(host(ExtendedBase, 0).Eax, LastExtendedLeaf) : LastExtendedLeafAmd;
        bool avx = (host(1, 0).Ecx & (CpuFeatures.Xsave | CpuFeatures.Avx)) == (CpuFeatures.Xsave | CpuFeatures.Avx);
        bool xsave = (host(1, 0).Ecx & CpuFeatures.Xsave) != 0;
        SupportedXcr0 = !xsave ? 0 : CpuFeatures.XstateX87 | CpuFeatures.XstateSse | (avx ? CpuFeatures.XstateAvx : 0);
    }

    /// <summary>Components the guest may set in XCR0; 0 without XSAVE.</summary>
    public ulong SupportedXcr0 { get; }

    /// <summary>A policy for the processor this process runs on.</summary>
    public static CpuidPolicy ForHost(uint tscKilohertz, (uint Multiplier, int Shift) tscScale) => new(QueryHost, tscKilohertz, tscScale);

    /// <summary>Answers one cpuid instruction.</summary>
    public CpuidResult Query(uint leaf, uint subLeaf, in CpuidQuery query) => leaf switch
    {
        >= ExtendedBase => leaf <= _maxExtended ? QueryExtended(leaf) : default,
        >= HypervisorBase => leaf <= LastHypervisorLeaf ? QueryHypervisor(leaf - HypervisorBase, subLeaf) : default,
        _ => leaf <= _maxBasic ? QueryBasic(leaf, subLeaf, query) : default,
    };

    private static CpuidResult QueryHost(uint leaf, uint subLeaf)
    {
        (int eax, int ebx, int ecx, int edx) = X86Base.CpuId((int)leaf, (int)subLeaf);
        return new CpuidResult((uint)eax, (uint)ebx, (uint)ecx, (uint)edx);
    }

    private CpuidResult QueryBasic(uint leaf, uint subLeaf, in CpuidQuery query)
    {
        CpuidResult host = _host(leaf, subLeaf);
        switch (leaf)
        {
            case 0:
                return host with { Eax = _maxBasic };
            case 1:
                return QueryFeatures(host, query);
            case 2:
                return host;
            case 4:
                // Cache sizes, without the host's counts of cores and threads.
                return host with { Eax = host.Eax & 0x3fff };
            case 7 when subLeaf == 0:
                uint ebx = host.Ebx & CpuFeatures.Leaf7Ebx;
                return new CpuidResult(0, HasAvx ? ebx : ebx & ~CpuFeatures.Avx2, 0, (host.Edx & CpuFeatures.Leaf7Edx) | CpuFeatures.ArchCapabilities);
            case 0xd:
                return QueryXsave(subLeaf, query.Xcr0);
            case 0x16 when _isIntel:
                // A base frequency here lets the kernel skip measuring it with a PIT.
                uint megahertz = (_tscKilohertz + 500) / 1000;
                return new CpuidResult(megahertz, megahertz, 0, 0);
            default:
                // 3, 5, 6, 9 to 0xc, 0xe to 0x15: serial number, mwait, power, performance counters, topology, ...
                return default;
        }
    }

    private bool HasAvx => (SupportedXcr0 & CpuFeatures.XstateAvx) != 0;

    private CpuidResult QueryFeatures(in CpuidResult host, in CpuidQuery query)
    {
        uint ecx = (host.Ecx & CpuFeatures.Leaf1Ecx) | CpuFeatures.Hypervisor;
        if (SupportedXcr0 == 0)
        {
            ecx &= ~(CpuFeatures.Xsave | CpuFeatures.Avx);
        }

        // The forced form reports OSXSAVE from the start; the kernel gives XSAVE up without that.
        bool isEarlyForm = query.IsForcedForm && !query.IsUserMode;
        if ((ecx & CpuFeatures.Xsave) != 0 && (isEarlyForm || (query.Cr4 & ControlRegisters.Cr4OsXsave) != 0))
        {
            ecx |= CpuFeatures.OsXsave;
        }

        // APIC id as on a real PV host; no logical processors; flush line size as the host's.
        uint ebx = ((uint)query.VcpuIndex * 2 << 24) | (host.Ebx & 0xff00);
        return new CpuidResult(host.Eax, ebx, ecx, host.Edx & CpuFeatures.Leaf1Edx);
    }

    private CpuidResult QueryXsave(uint subLeaf, ulong xcr0)
    {
        if (SupportedXcr0 == 0)
        {
            return default;
        }

        uint currentSize = XsaveSize(xcr0);
        return subLeaf switch
        {
            0 => new CpuidResult((uint)SupportedXcr0, currentSize, XsaveSize(SupportedXcr0), 0),

            // With AVX last and unaligned, the compacted size equals the standard one.
            1 => new CpuidResult(CpuFeatures.XsaveVariants, currentSize, 0, 0),
            2 when HasAvx => new CpuidResult(AvxStateSize, AvxStateOffset, 0, 0),
            _ => default,
        };
    }

    private static uint XsaveSize(ulong xcr0) => (xcr0 & CpuFeatures.XstateAvx) != 0 ? AvxStateOffset + AvxStateSize : LegacyXsaveSize;

    private CpuidResult QueryHypervisor(uint leaf, uint subLeaf)
    {
        const uint SignatureEbx = 0x566e_6558, SignatureEcx = 0x6558_4d4d, SignatureEdx = 0x4d4d_566e;
        const uint HypercallMsr = 0x4000_0000, PreserveAd = 1;
        return (leaf, subLeaf) switch
        {
            (0, _) => new CpuidResult(LastHypervisorLeaf, SignatureEbx, SignatureEcx, SignatureEdx),
            (1, _) => new CpuidResult(InterfaceVersion.Number, 0, 0, 0),
            (2, _) => new CpuidResult(1, HypercallMsr, PreserveAd, 0),
            (3, 0) => new CpuidResult(TscHostSafe, TscModeNeverEmulate, _tscKilohertz, 0),
            (3, 1) => new CpuidResult(0, 0, _tscScale.Multiplier, (uint)_tscScale.Shift),
            (3, 2) => new CpuidResult(_tscKilohertz, 0, 0, 0),
            (5, 0) => new CpuidResult(0, MachineAddressBits, 0, 0),
            _ => default,
        };
    }

    private CpuidResult QueryExtended(uint leaf)
    {
        CpuidResult host = _host(leaf, 0);
        switch (leaf - ExtendedBase)
        {
            case 0:
                return host with { Eax = _maxExtended };
            case 1:
                uint edx = host.Edx & (_isIntel ? CpuFeatures.ExtendedEdx : CpuFeatures.ExtendedEdxAmd);

                // Intel shows SYSCALL here only in 64-bit mode, which we are in.
                return new CpuidResult(_isIntel ? 0 : host.Eax, 0, host.Ecx & CpuFeatures.ExtendedEcx, edx | CpuFeatures.ExtendedEdx);
            case >= 2 and <= 6:
                // Brand string and caches.
                return host;
            case 7:
                return new CpuidResult(0, 0, 0, CpuFeatures.InvariantTsc);
            case 8:
                uint physicalBits = Math.Max(host.Eax & 0xff, MachineAddressBits);
                const uint VirtualBits = 48;
                return new CpuidResult(physicalBits | (VirtualBits << 8), host.Ebx & CpuFeatures.Leaf80000008Ebx, 0, 0);
            case 0x21:
                return new CpuidResult(CpuFeatures.Leaf80000021Eax, 0, CpuFeatures.Leaf80000021Ecx, 0);
            default:
                return default;
        }
    }
}
