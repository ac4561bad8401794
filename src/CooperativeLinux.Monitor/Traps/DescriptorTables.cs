using CooperativeLinux.Monitor.Machine;
using CooperativeLinux.Processor.Memory;

namespace CooperativeLinux.Monitor.Traps;

/// <summary>
/// GDT and LDT of one vCPU. Entries are read from guest memory each time. Privilege levels are not checked: the
/// interface raises every guest descriptor to DPL 3.
/// </summary>
internal sealed class DescriptorTables(VcpuContext vcpu)
{
    /// <summary>Descriptors in a frame, frames the guest may give, and descriptors in an LDT.</summary>
    public const int EntriesPerFrame = GuestMemory.PageSize / 8, MaxFrames = 14, MaxEntries = MaxFrames * EntriesPerFrame,
        MaxLdtEntries = 8192;

    /// <summary>Flat segments of the hypervisor, DPL 3, accessed: 64-bit code, data, 32-bit code.</summary>
    private const ulong FlatCode64 = 0x00af_fb00_0000_ffff, FlatData = 0x00cf_f300_0000_ffff, FlatCode32 = 0x00cf_fb00_0000_ffff;

    private readonly ulong[] _frames = new ulong[MaxFrames];

    /// <summary>Descriptors in the GDT.</summary>
    public int Entries { get; private set; }

    /// <summary>Virtual address of the LDT.</summary>
    public ulong LdtBase { get; private set; }

    public int LdtEntries { get; private set; }

    /// <summary>Replaces the GDT.</summary>
    /// <param name="frames">Frame numbers, as many as the entries need; the caller has checked that they exist.</param>
    /// <param name="entries">Number of descriptors, up to <see cref="MaxEntries"/>.</param>
    public void SetGdt(ReadOnlySpan<ulong> frames, int entries)
    {
        Array.Clear(_frames);
        frames.CopyTo(_frames);
        Entries = entries;
    }

    public void SetLdt(ulong address, int entries)
    {
        LdtBase = address;
        LdtEntries = entries;
    }

    /// <summary>Reads the descriptor of a selector; false if it is null or beyond its table.</summary>
    public bool TryRead(ushort selector, out SegmentDescriptor descriptor)
    {
        descriptor = default;
        int index = selector >> 3;
        if ((selector & Selector.TableIndicator) != 0)
        {
            if (index >= LdtEntries || !vcpu.Processor.TryRead(LdtBase + ((ulong)index * 8), out ulong local))
            {
                return false;
            }

            descriptor = new SegmentDescriptor(local);
            return true;
        }

        if (index >= MaxEntries)
        {
            return TryReadFlat(selector, out descriptor);
        }

        if (index == 0 || index >= Entries)
        {
            return false;
        }

        ulong address = (_frames[index / EntriesPerFrame] * GuestMemory.PageSize) + ((ulong)(index % EntriesPerFrame) * 8);
        if (!vcpu.Memory.TryRead(address, out ulong raw))
        {
            return false;
        }

        descriptor = new SegmentDescriptor(raw);
        return true;
    }

    /// <summary>Whether the selector is one of 64-bit code that can be jumped to.</summary>
    public bool IsLongCode(ushort selector) =>
        (ushort)(selector | Selector.RplMask) is Selector.LinuxUserCode or Selector.FlatKernelCode
        || (TryRead(selector, out SegmentDescriptor descriptor) && descriptor is { IsPresent: true, IsCode: true, IsLong: true });

    private static bool TryReadFlat(ushort selector, out SegmentDescriptor descriptor)
    {
        ulong raw = (ushort)(selector | Selector.RplMask) switch
        {
            Selector.FlatKernelCode => FlatCode64,
            Selector.FlatKernelData => FlatData,
            Selector.FlatCode32 => FlatCode32,
            _ => 0,
        };
        descriptor = new SegmentDescriptor(raw);
        return raw != 0;
    }
}
