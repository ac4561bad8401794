using System.Numerics;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>
/// Makes several vCPUs forget translations. On return none of them runs guest code with the old ones; vCPUs that do
/// not run guest code forget before they do so again.
/// </summary>
internal sealed class TlbShootdown(IReadOnlyList<VcpuContext> vcpus)
{
    /// <summary>All vCPUs, as a mask.</summary>
    public ulong All { get; } = vcpus.Count == 64 ? ulong.MaxValue : (1UL << vcpus.Count) - 1;

    /// <summary>Forgets everything on the vCPUs of the mask, as far as it could be out of date.</summary>
    public void Flush(VcpuContext self, ulong mask)
    {
        // Tables in use are changed by hypercalls and trapped writes only, and each change makes the vCPU that makes it forget exactly
        // what it concerns. Only another vCPU can have read an entry between its invalidation and its change.
        if (vcpus.Count == 1)
        {
            return;
        }

        if ((mask & Bit(self)) != 0)
        {
            self.Processor.FlushTlb();
        }

        // Another vCPU may run any root: all of them.
        Broadcast(self, mask, static (vcpu, _) => vcpu.Requests.PostFlush(allRoots: true), 0);
    }

    /// <summary>Forgets everything on the calling vCPU, as far as it could be out of date.</summary>
    public void FlushLocal(VcpuContext self) => Flush(self, Bit(self));

    /// <summary>Forgets one page on the vCPUs of the mask.</summary>
    public void FlushPage(VcpuContext self, ulong mask, ulong address)
    {
        if ((mask & Bit(self)) != 0)
        {
            self.Processor.FlushPage(address);
        }

        Broadcast(self, mask, static (vcpu, page) => vcpu.Requests.PostPage(page), address);
    }

    private static ulong Bit(VcpuContext vcpu) => 1UL << vcpu.Index;

    private void Broadcast(VcpuContext self, ulong mask, Func<VcpuContext, ulong, long> post, ulong argument)
    {
        ulong others = mask & All & ~Bit(self);
        if (others == 0)
        {
            return;
        }

        Span<long> tickets = stackalloc long[64];
        for (ulong rest = others; rest != 0; rest &= rest - 1)
        {
            int index = BitOperations.TrailingZeroCount(rest);
            VcpuContext vcpu = vcpus[index];
            if (!vcpu.IsUp)
            {
                others &= ~(1UL << index);
                if (vcpu.IsInitialised)
                {
                    post(vcpu, argument);
                }

                continue;
            }

            tickets[index] = post(vcpu, argument);
            vcpu.Kick();
        }

        for (ulong rest = others; rest != 0; rest &= rest - 1)
        {
            int index = BitOperations.TrailingZeroCount(rest);
            Await(self, vcpus[index], tickets[index]);
        }
    }

    private static void Await(VcpuContext self, VcpuContext other, long ticket)
    {
        SpinWait spin = new();
        while (!other.Requests.IsServed(ticket) && other.IsUp && !self.Life.HasEnded)
        {
            // The other may be waiting for us in the same way.
            self.Attend();
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }
}
