using CooperativeLinux.Monitor.Machine;

namespace CooperativeLinux.Monitor.Hypercalls;

/// <summary>console_io: output that works before any ring, and in a panic (pv-interface 3.8).</summary>
internal sealed class ConsoleHypercalls(DomainServices domain)
{
    private const ulong Write = 0, Read = 1;

    /// <summary>Most bytes taken from one call.</summary>
    private const uint MaxLength = 1 << 16;

    public long Execute(VcpuContext vcpu, in HypercallArguments arguments) => arguments.A switch
    {
        Write => WriteOut(vcpu, arguments.C, (uint)arguments.B),

        // Nothing ever typed here: input comes through the console ring.
        Read => 0,
        _ => -XenError.ENOSYS,
    };

    private long WriteOut(VcpuContext vcpu, ulong address, uint count)
    {
        Span<byte> buffer = stackalloc byte[1024];
        uint rest = Math.Min(count, MaxLength);
        while (rest > 0)
        {
            Span<byte> part = buffer[..(int)Math.Min(rest, (uint)buffer.Length)];
            if (!vcpu.Processor.TryRead(address, part, out _))
            {
                return -XenError.EFAULT;
            }

            domain.EmergencyConsole(part);
            address += (uint)part.Length;
            rest -= (uint)part.Length;
        }

        return 0;
    }
}
