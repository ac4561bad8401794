using System.Buffers.Binary;
using CooperativeLinux.Devices.Xenbus;
using CooperativeLinux.Monitor.Domain;
using CooperativeLinux.Monitor.Events;
using CooperativeLinux.Monitor.Grants;
using CooperativeLinux.Monitor.Store;
using CooperativeLinux.Processor.Memory;
using Microsoft.Extensions.Logging;

namespace CooperativeLinux.Devices.Tests;

/// <summary>What devices need of a machine, with a guest that only the test moves.</summary>
internal sealed class TestMachine : IVcpuKick, IDisposable
{
    private int _kicks;

    public TestMachine()
    {
        Memory = new GuestMemory(1 << 20);
        Events = new EventChannels(Memory, 1, this);
        Grants = new GrantTable(Memory);
        Grants.SetupTable(1, new ulong[1]);
        DomainNodes.Write(Store, new DomainDescription { Name = "test", Uuid = Guid.NewGuid(), VcpuCount = 1, MemoryKiB = 1024, MaxMemoryKiB = 1024 });
        Context = new DeviceContext(Store, Events, Grants);
    }

    public GuestMemory Memory { get; }

    public EventChannels Events { get; }

    public GrantTable Grants { get; }

    public XenStore Store { get; } = new();

    public DeviceContext Context { get; private set; }

    /// <summary>Where devices log; nowhere by default.</summary>
    public ILoggerFactory Loggers
    {
        init => Context = Context with { Loggers = value };
    }

    /// <summary>Set at every event; the guest has then already acknowledged it.</summary>
    public AutoResetEvent Notified { get; } = new(false);

    /// <summary>Events so far.</summary>
    public int Notifications => Volatile.Read(ref _kicks);

    /// <summary>Writes below /local/domain/1, as the guest.</summary>
    public void GuestWrites(string path, string value) => Store.Write($"/local/domain/1/{path}", value);

    public void Grant(uint reference, uint frame)
    {
        Span<byte> entry = Memory.Frame(SpecialFrames.GrantTable).Slice((int)reference * 8, 8);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], frame);
        BinaryPrimitives.WriteUInt32LittleEndian(entry, 1);
    }

    public GuestPages Pages(params ulong[] frames) =>
        GuestPages.TryCreate(Memory, frames, out GuestPages? pages) ? pages : throw new ArgumentException("No such frame.", nameof(frames));

    public void Kick(int vcpu)
    {
        ref SharedInfo shared = ref Events.SharedInfo.Value;
        Interlocked.Exchange(ref shared.VcpuSlots[0].UpcallPending, (byte)0);
        Interlocked.Exchange(ref shared.VcpuSlots[0].PendingSelector, 0);
        Interlocked.Exchange(ref shared.Pending[0], 0);
        Interlocked.Increment(ref _kicks);
        Notified.Set();
    }

    public void Dispose()
    {
        Memory.Dispose();
        Notified.Dispose();
    }
}
