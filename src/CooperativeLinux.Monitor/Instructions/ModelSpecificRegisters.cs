using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Traps;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Instructions;

/// <summary>rdmsr and wrmsr of the guest kernel (pv-interface 2.9).</summary>
internal sealed unsafe class ModelSpecificRegisters(Func<ulong> readTimestamp)
{
    private const uint Tsc = 0x10, PlatformId = 0x17, ApicBase = 0x1b, SpecCtrl = 0x48, PredCmd = 0x49, MicrocodeRevision = 0x8b,
        PlatformInfo = 0xce, ArchCapabilities = 0x10a, FlushCmd = 0x10b, TsxCtrl = 0x122, SysenterCs = 0x174, SysenterEip = 0x176, MachineCheckCap = 0x179,
        MachineCheckCtl = 0x17b, MiscEnable = 0x1a0, Pat = 0x277, Efer = 0xc000_0080, Star = 0xc000_0081, FMask = 0xc000_0084,
        FsBase = 0xc000_0100, GsBase = 0xc000_0101, KernelGsBase = 0xc000_0102, TscAux = 0xc000_0103,
        AmdSysCfg = 0xc001_0010, AmdHwcr = 0xc001_0015, AmdNorthBridgeCfg = 0xc001_001f, AmdLoadStoreCfg = 0xc001_1020,
        HypercallPageRegister = 0x4000_0000, AmdInstructionCacheCfg = 0xc001_1021, AmdDataCacheCfg = 0xc001_1022, AmdDecodeCfg = 0xc001_1029;

    private const ulong ApicEnabledBase = 0xfee0_0800, ApicBootProcessor = 0x100;

    /// <summary>LME, LMA, SCE, NX.</summary>
    private const ulong EferValue = 0xd01;

    private const ulong PatValue = 0x0000_0501_0007_0406;

    /// <summary>
    /// The newest there can be, in the half that AMD and the half that Intel reports: workarounds for errata are the host's
    /// matter, which loads the microcode, and what a guest could do about an old one are writes to the host's registers.
    /// </summary>
    private const ulong NewestMicrocode = ulong.MaxValue;

    /// <summary>Fast strings; no branch trace, no event sampling.</summary>
    private const ulong MiscEnableValue = 0x1 | (1 << 11) | (1 << 12);

    /// <summary>The TSC counts at the nominal frequency.</summary>
    private const ulong HwcrTscFrequencySelect = 1 << 24;

    /// <summary>lfence serialises.</summary>
    private const ulong DecodeCfgSerializingLfence = 2;

    /// <summary>Reads; false: #GP(0).</summary>
    public bool TryRead(VcpuContext vcpu, uint register, out ulong value)
    {
        bool known = true;
        value = 0;
        switch (register)
        {
            case Tsc:
                value = readTimestamp();
                break;
            case ApicBase:
                value = ApicEnabledBase | (vcpu.Index == 0 ? ApicBootProcessor : 0);
                break;
            case MiscEnable:
                value = MiscEnableValue;
                break;
            case Pat:
                value = PatValue;
                break;
            case Efer:
                value = EferValue;
                break;
            case FsBase:
                value = vcpu.State->FsBase;
                break;
            case GsBase:
                value = vcpu.State->GsBase;
                break;
            case KernelGsBase:
                value = vcpu.InactiveGsBase;
                break;
            case TscAux:
                value = vcpu.TscAux;
                break;
            case ArchCapabilities:
                value = CpuFeatures.ArchCapabilitiesValue;
                break;
            case MicrocodeRevision:
                value = NewestMicrocode;
                break;
            case AmdHwcr:
                value = HwcrTscFrequencySelect;
                break;
            case AmdDecodeCfg:
                value = DecodeCfgSerializingLfence;
                break;
            case PlatformId or PlatformInfo or SpecCtrl or TsxCtrl:
            case >= SysenterCs and <= SysenterEip:
            case >= MachineCheckCap and <= MachineCheckCtl:
            case >= Star and <= FMask:
            case AmdSysCfg or AmdNorthBridgeCfg or AmdLoadStoreCfg or AmdInstructionCacheCfg or AmdDataCacheCfg:
                break;
            default:
                known = false;
                break;
        }

        // Start-up code runs before there is any handler: everything reads as zero then.
        return known || !vcpu.Traps.HandlesGeneralProtection;
    }

    /// <summary>Writes; false: #GP(0).</summary>
    public bool TryWrite(VcpuContext vcpu, uint register, ulong value)
    {
        switch (register)
        {
            case FsBase when CanonicalAddress.IsCanonical(value):
                vcpu.State->FsBase = value;
                return true;
            case GsBase when CanonicalAddress.IsCanonical(value):
                vcpu.State->GsBase = value;
                return true;
            case KernelGsBase when CanonicalAddress.IsCanonical(value):
                vcpu.InactiveGsBase = value;
                return true;
            case FsBase or GsBase or KernelGsBase:
                return false;
            case TscAux:
                vcpu.TscAux = (uint)value;
                return true;
            case HypercallPageRegister:
                return TryFillHypercallPage(vcpu, value);
            case Efer:
                return value == EferValue || !vcpu.Traps.HandlesGeneralProtection;
            case Pat:
                return value == PatValue || !vcpu.Traps.HandlesGeneralProtection;
            case Tsc or PlatformId or ApicBase or MicrocodeRevision or SpecCtrl or PredCmd or FlushCmd or TsxCtrl or MiscEnable:
            case >= SysenterCs and <= SysenterEip:
            case >= MachineCheckCap and <= MachineCheckCtl:
            case >= Star and <= FMask:
            case AmdSysCfg or AmdHwcr or AmdNorthBridgeCfg or AmdLoadStoreCfg or AmdInstructionCacheCfg or AmdDataCacheCfg or AmdDecodeCfg:
                return true;
            default:
                return !vcpu.Traps.HandlesGeneralProtection;
        }
    }

    /// <summary>Old kernels ask for stubs: page address, and the number of the page, of which there is one.</summary>
    private static bool TryFillHypercallPage(VcpuContext vcpu, ulong value)
    {
        const ulong IndexMask = GuestMemory.PageSize - 1;
        Span<byte> page = (value & IndexMask) == 0 ? vcpu.Memory.WritableRange(value, GuestMemory.PageSize) : default;
        if (page.IsEmpty)
        {
            return false;
        }

        HypercallPage.Write(page);
        return true;
    }
}
