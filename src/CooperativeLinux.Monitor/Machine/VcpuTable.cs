using CooperativeLinux.Monitor.Events;

namespace CooperativeLinux.Monitor.Machine;

/// <summary>The vCPUs of a domain by number, and how events reach them.</summary>
internal sealed class VcpuTable(int count) : IVcpuKick
{
    private readonly VcpuContext[] _vcpus = new VcpuContext[count];

    /// <summary>Filled while the domain is made.</summary>
    public VcpuContext[] Vcpus => _vcpus;

    /// <inheritdoc/>
    public void Kick(int vcpu)
    {
        // Not there yet: events raised while the domain is made are found when the vCPU starts.
        Volatile.Read(ref _vcpus[vcpu])?.Kick();
    }
}
