using System.Runtime.InteropServices;
using System.Text;
using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Monitor.Memory;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>xen_version (pv-interface 3.7).</summary>
internal sealed class VersionHypercalls(DomainServices domain)
{
    private const ulong Version = 0, ExtraVersion = 1, CompileInfo = 2, Capabilities = 3, ChangeSet = 4, PlatformParameters = 5,
        GetFeatures = 6, PageSize = 7, GuestHandle = 8, CommandLine = 9, BuildId = 10;

    /// <summary>Bits 4 pae_pgdir_above_4gb, 5 mmu_pt_update_preserve_ad, 7 gnttab_map_avail_bits, 13.</summary>
    private const uint Features = 0x20b0;

    public long Execute(VcpuContext vcpu, in HypercallArguments arguments)
    {
        ulong address = arguments.B;
        switch (arguments.A)
        {
            case Version:
                return InterfaceVersion.Number;
            case ExtraVersion:
                return WriteText(vcpu, address, InterfaceVersion.Extra, 16);
            case CompileInfo:
                return WriteCompileInfo(vcpu, address);
            case Capabilities:
                return WriteText(vcpu, address, "xen-3.0-x86_64 ", 1024);
            case ChangeSet:
                return WriteText(vcpu, address, "unavailable", 64);
            case PlatformParameters:
                return vcpu.Processor.TryWrite(address, MachineToPhysical.VirtualBase) ? 0 : -XenError.EFAULT;
            case GetFeatures:
                return WriteFeatures(vcpu, address);
            case PageSize:
                return 4096;
            case GuestHandle:
                Span<byte> uuid = stackalloc byte[16];
                _ = domain.Uuid.TryWriteBytes(uuid, bigEndian: true, out _);
                return vcpu.Processor.TryWrite(address, uuid, out _) ? 0 : -XenError.EFAULT;
            case CommandLine:
                return -XenError.EPERM;
            case BuildId:
                return -XenError.ENODATA;
            default:
                return -XenError.ENOSYS;
        }
    }

    private static long WriteFeatures(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out FeatureRequest request))
        {
            return -XenError.EFAULT;
        }

        request.Map = request.Index == 0 ? Features : 0;
        return vcpu.Processor.TryWrite(address, request) ? 0 : -XenError.EFAULT;
    }

    private static long WriteText(VcpuContext vcpu, ulong address, string text, int size)
    {
        Span<byte> buffer = stackalloc byte[size];
        buffer.Clear();
        _ = Encoding.ASCII.GetBytes(text, buffer);
        return vcpu.Processor.TryWrite(address, buffer, out _) ? 0 : -XenError.EFAULT;
    }

    /// <summary>char compiler[64], by[16], domain[32], date[32].</summary>
    private static long WriteCompileInfo(VcpuContext vcpu, ulong address)
    {
        Span<byte> buffer = stackalloc byte[144];
        buffer.Clear();
        _ = Encoding.ASCII.GetBytes(".NET", buffer[..63]);
        _ = Encoding.ASCII.GetBytes("colinux", buffer[64..79]);
        return vcpu.Processor.TryWrite(address, buffer, out _) ? 0 : -XenError.EFAULT;
    }

    [StructLayout(LayoutKind.Explicit, Size = 8)]
    private struct FeatureRequest
    {
        [FieldOffset(0)] public uint Index;
        [FieldOffset(4)] public uint Map;
    }
}
