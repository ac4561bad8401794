using System.Runtime.InteropServices;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>grant_table_op (pv-interface 3.10): what a frontend needs; the guest runs no backends.</summary>
internal sealed class GrantHypercalls(DomainServices domain)
{
    private const ulong SetupTable = 2, QuerySize = 6, SetVersion = 8, GetVersion = 10;

    private const ulong MaxOperations = 64;

    public long Execute(VcpuContext vcpu, in HypercallArguments arguments)
    {
        if (arguments.C > MaxOperations)
        {
            return -XenError.EINVAL;
        }

        ulong address = arguments.B;
        for (ulong index = 0; index < arguments.C; index++)
        {
            long result = arguments.A switch
            {
                SetupTable => Setup(vcpu, address),
                QuerySize => Query(vcpu, address),
                SetVersion => ChangeVersion(vcpu, address),
                GetVersion => TellVersion(vcpu, address),
                _ => -XenError.ENOSYS,
            };
            if (result != 0)
            {
                return result;
            }

            address += arguments.A switch
            {
                SetupTable => SetupRequest.TotalSize,
                QuerySize => SizeRequest.TotalSize,
                SetVersion => 4u,
                _ => VersionRequest.TotalSize,
            };
        }

        return 0;
    }

    private long Setup(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out SetupRequest request))
        {
            return -XenError.EFAULT;
        }

        Span<ulong> frames = stackalloc ulong[GrantTable.MaxFrames];
        request.Status = domain.IsSelf(request.Domain) ? domain.Grants.SetupTable(request.Frames, frames) : GrantTable.StatusGeneralError;
        if (request.Status == GrantTable.StatusOkay)
        {
            ReadOnlySpan<byte> list = MemoryMarshal.AsBytes(frames[..(int)request.Frames]);
            if (!list.IsEmpty && !vcpu.Processor.TryWrite(request.FrameList, list, out _))
            {
                return -XenError.EFAULT;
            }
        }

        return vcpu.Processor.TryWrite(address, request) ? 0 : -XenError.EFAULT;
    }

    private long Query(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out SizeRequest request))
        {
            return -XenError.EFAULT;
        }

        request.Status = domain.IsSelf(request.Domain)
            ? domain.Grants.QuerySize(out request.Frames, out request.MaxFrames)
            : GrantTable.StatusGeneralError;
        return vcpu.Processor.TryWrite(address, request) ? 0 : -XenError.EFAULT;
    }

    private long ChangeVersion(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out uint version))
        {
            return -XenError.EFAULT;
        }

        int result = domain.Grants.SetVersion(version);

        // The version in force goes back either way.
        return vcpu.Processor.TryWrite(address, domain.Grants.Version) ? result : -XenError.EFAULT;
    }

    private long TellVersion(VcpuContext vcpu, ulong address)
    {
        if (!vcpu.Processor.TryRead(address, out VersionRequest request))
        {
            return -XenError.EFAULT;
        }

        if (!domain.IsSelf(request.Domain))
        {
            return -XenError.ESRCH;
        }

        request.Version = domain.Grants.Version;
        return vcpu.Processor.TryWrite(address, request) ? 0 : -XenError.EFAULT;
    }

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct SetupRequest
    {
        public const int TotalSize = 24;

        [FieldOffset(0)] public ushort Domain;
        [FieldOffset(4)] public uint Frames;
        [FieldOffset(8)] public short Status;
        [FieldOffset(16)] public ulong FrameList;
    }

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct SizeRequest
    {
        public const int TotalSize = 16;

        [FieldOffset(0)] public ushort Domain;
        [FieldOffset(4)] public uint Frames;
        [FieldOffset(8)] public uint MaxFrames;
        [FieldOffset(12)] public short Status;
    }

    [StructLayout(LayoutKind.Explicit, Size = TotalSize)]
    private struct VersionRequest
    {
        public const int TotalSize = 8;

        [FieldOffset(0)] public ushort Domain;
        [FieldOffset(4)] public uint Version;
    }
}
