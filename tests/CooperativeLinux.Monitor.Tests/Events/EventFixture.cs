using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Tests.Events;

/// <summary>Guest memory with event channels whose kicks are counted.</summary>
internal sealed class EventFixture : IVcpuKick, IDisposable
{
    private readonly int[] _kicks = new int[VcpuInfoTable.MaxVcpus];

    public EventFixture(int vcpuCount = 2, ulong memorySize = 1 << 20)
    {
        Memory = new GuestMemory(memorySize);
        Channels = new EventChannels(Memory, vcpuCount, this);
    }

    public GuestMemory Memory { get; }

    public EventChannels Channels { get; }

    /// <summary>Called after a kick was counted.</summary>
    public Action<int>? OnKick { get; set; }

    public ref SharedInfo Shared => ref Channels.SharedInfo.Value;

    public int Kicks(int vcpu) => Volatile.Read(ref _kicks[vcpu]);

    public ref VcpuInfo Info(int vcpu)
    {
        if (!Channels.Vcpus.TryGet(vcpu, out GuestReference<VcpuInfo> reference))
        {
            throw new InvalidOperationException($"vCPU {vcpu} has no vcpu_info.");
        }

        return ref reference.Value;
    }

    public void Mask(uint port) => Interlocked.Or(ref Shared.Mask[(int)(port / 64)], 1UL << (int)(port % 64));

    public void Kick(int vcpu)
    {
        Interlocked.Increment(ref _kicks[vcpu]);
        OnKick?.Invoke(vcpu);
    }

    public void Dispose() => Memory.Dispose();
}
